"""Plugins that do what no plugin should, as installed distributions in processes of their own."""

import json
import os
import subprocess
import sys

import pytest
from plugin_layout import lay_out, lay_out_shipping

SHOW = """
import sys
from zoo import registry, resolve
from zoo.commands import plugin_trials
from zoo.models import architectures
from zoo.errors import ZooError
try:
    print("gave", {call})
except ZooError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def site(tmp_path):
    def run(*words, check=True):
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "ZOO_HOME": str(tmp_path / "home")}
        command = [sys.executable, *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    run.folder = tmp_path
    return run


def bring(site, entries, source, name="kazoo"):
    lay_out(site.folder, f"zoo-{name}", "1.2", entries, {f"{name}.py": source})


def say(site, call):
    done = site("-c", SHOW.format(call=call))
    return done.stdout + done.stderr


CONFIG = (
    "from zoo.models import ComponentConfig as C, ModelConfig as M\n"
    "def small(): return M('kazoo-S', C('gru', {'hidden_size': 8}), C('harmonic_noise'))\n"
)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("small = 5", "is 5, of the type int, and must be a class or a function"),
        ("def small(): pass", "gives NoneType, and must give a zoo.models.ModelConfig"),
        ("def small(): return {}", "gives dict, and must give"),
        ("def small(a, b): pass", "fails: TypeError: small() missing 2 required"),
        ("def small(): raise RuntimeError('no')", "fails: RuntimeError: no."),
        ("def small(): raise SystemExit(3)", "fails: SystemExit: 3."),
        (
            "class Odd(BaseException):\n  def __str__(self): return 1/0\ndef small(): raise Odd",
            "fails: Odd: (its message",
        ),
        (
            "from zoo.models import ModelConfig\ndef small(): return ModelConfig('kazoo-S', 'gru', 2)",
            "whose decoder or",
        ),
        ("raise BaseException('odd')", "cannot be imported (kazoo:small): BaseException: odd"),
        ("import sys; sys.exit('bye')", "cannot be imported (kazoo:small): SystemExit: bye"),
        ("def small(:", "cannot be imported (kazoo:small): SyntaxError"),
    ],
)
def test_model_that_is_none_is_told_with_its_plugin(site, source, said):
    bring(site, "[zoo_models]\nkazoo-S = kazoo:small\n", source)
    found = say(site, "architectures.config_of('kazoo-S')")
    assert found.startswith("PluginError The model 'kazoo-S' of zoo-kazoo 1.2")
    assert said in found


@pytest.mark.parametrize(
    ("kind", "source", "said"),
    [
        ("decoders", "def buzz(): pass", "must be a class, a child of zoo.decoders.Decoder"),
        ("decoders", "class buzz: pass", "must be a class, a child of zoo.decoders.Decoder"),
        ("synths", "buzz = 'harmonic_noise'", "must be a class, a child of zoo.synths.Synth"),
        ("metrics", "buzz = 'a string'", "'a string', of the type str, and must be a class or a function"),
        ("pitch", "import kazoo as buzz", "of the type module, and must be a class or a function"),
        ("losses", "buzz = None", "of the type NoneType"),
    ],
)
def test_component_of_the_wrong_type_is_refused(site, kind, source, said):
    bring(site, f"[zoo_{kind}]\nbuzz = kazoo:buzz\n", source)
    found = say(site, f"registry.{kind}.get('buzz')")
    assert found.startswith("PluginError The ")
    assert said in found
    assert "pip uninstall zoo-kazoo" in found


DECODER = """
class {name}(Decoder):
    def __init__(self, *, control_sizes):
        super().__init__(control_sizes=control_sizes)
        self.scale = torch.nn.Parameter(torch.ones(()))
    def forward(self, f0_scaled, loudness_scaled):
        controls = {{n: self.scale * torch.ones(1, {frames}, s) for n, s in self.control_sizes.items()}}
        {then}
        return {result}
"""
GIVEN = {
    ("pitch", "one"): (
        "def one(audio, **_): return 440.0",
        "gives float, and must give f0_hz and periodicity",
    ),
    ("pitch", "frames"): (
        "def frames(audio, **_): return audio[:, ::60], audio[:, ::64]",
        "gives [1, 11], and must give f0_hz [batch, samples // hop] = [1, 10]",
    ),
    ("pitch", "sure"): (
        "def sure(audio, **_): return audio[:, ::64], 1.0",
        "gives float, and must give periodicity",
    ),
    ("loudness", "flat"): (
        "def flat(audio, **_): return audio[0, ::64]",
        "gives [10], and must give the loudness",
    ),
    ("metrics", "same"): (
        "def same(a, b, valid_samples): return a",
        "gives [1, 16000], and must give a value for each sound",
    ),
    ("decoders", "short"): (
        DECODER.format(name="short", frames=9, then="", result="Decoded(controls, torch.ones(1, 9, 1))"),
        "gives [1, 9, 1], and must give amplitude [batch, frames, size] = [1, 10, 1]",
    ),
    ("decoders", "few"): (
        DECODER.format(name="few", frames=10, then="del controls['amplitude']", result="Decoded(controls, None)"),
        "gives the controls harmonic_distribution, noise_bands, and must give amplitude",
    ),
    ("decoders", "bare"): (
        DECODER.format(name="bare", frames=10, then="", result="controls"),
        "gives dict, and must give a zoo.decoders.Decoded",
    ),
}
CALLS = """
import sys
import torch
import zoo, zoo.features, zoo.models
from zoo.errors import ZooError
from zoo.metrics.measures import Measures
C = zoo.models.ComponentConfig
sound = torch.ones(1, 640)
calls = {
    "pitch": lambda name: zoo.features.track_pitch(sound, sample_rate=16000, hop=64, tracker=name),
    "loudness": lambda name: zoo.features.extract_features(
        sound[0], sample_rate=16000, hop=64, f0_hz=torch.ones(10), settings=zoo.features.FeatureSettings(loudness=name)
    ),
    "metrics": lambda name: Measures({name: {}}, sample_rate=16000, hop=64),
    "decoders": lambda name: zoo.create(zoo.models.ModelConfig("a-S", C(name), C("harmonic_noise")))(
        torch.ones(1, 10), torch.ones(1, 10)
    ),
}
for kind, name in [word.split(":") for word in sys.argv[1:]]:
    try:
        print(kind, name, "gave", calls[kind](name))
    except ZooError as error:
        print(type(error).__name__, error)
"""


def test_components_that_give_something_else_are_told_with_their_plugin(site):
    kinds = dict.fromkeys(kind for kind, _ in GIVEN)
    entries = "".join(
        f"[zoo_{kind}]\n" + "".join(f"{name} = kazoo:{name}\n" for own, name in GIVEN if own == kind) for kind in kinds
    )
    sources = ["import torch\nfrom zoo.decoders import Decoded, Decoder", *(source for source, _ in GIVEN.values())]
    bring(site, entries, "\n".join(sources))
    lines = site("-c", CALLS, *map(":".join, GIVEN)).stdout.splitlines()
    for line, ((_, name), (_, said)) in zip(lines, GIVEN.items(), strict=True):
        assert line.startswith("PluginError The "), line
        assert f"{name!r} of zoo-kazoo 1.2 (kazoo:{name}) {said}" in line
        assert line.endswith("pip uninstall zoo-kazoo")


@pytest.mark.parametrize("how", ["import os; os._exit(0)", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"])
def test_plugins_command_survives_one_that_ends_the_process_and_names_it(site, how):
    bring(site, "[zoo_metrics]\nbuzz = kazoo:buzz\n[zoo_pitch]\nhum = kazoo:hum\n", how)
    bring(site, "[zoo_models]\nviola-S = viola:small\n", CONFIG.replace("kazoo", "viola"), "viola")
    bring(site, "[zoo_models]\nzither-S = zither:small\n", "small = 5", "zither")
    done = site("-m", "zoo", "plugins", "--json")
    found = {each["distribution"]: each for each in json.loads(done.stdout)}
    (problem,) = found["zoo-kazoo"]["problems"]
    assert "of zoo-kazoo 1.2 cannot be imported" in problem
    assert "it ends the process, with exit code" in problem
    assert found["zoo-viola"]["state"] == "ok"
    assert "is 5" in found["zoo-zither"]["problems"][0]


def test_doctor_asks_no_tracker_that_ends_the_process(site):
    bring(site, "[zoo_metrics]\nbuzz = kazoo:buzz\n[zoo_pitch]\nhum = kazoo:hum\n", "import os; os._exit(0)")
    look = """
import json
from zoo.commands import environment
from zoo.commands.doctor import Report, _components
report = Report()
print(json.dumps([_components(report), environment.pitch_trackers(report), environment.plugins(report)]))
print(json.dumps([report.broken_plugins, report.problems]))
"""
    first, second = site("-c", look).stdout.splitlines()
    components, pitch, plugins = json.loads(first)
    assert "it ends the process" in components["metric buzz"]
    assert pitch["hum"].startswith("cannot be used: The pitch tracker 'hum' of zoo-kazoo 1.2")
    assert pitch["yin"].startswith("works")
    assert plugins["zoo-kazoo 1.2"].startswith("broken: ")
    assert json.loads(second) == [["zoo-kazoo"], []]


def test_import_without_end_is_told(site):
    bring(site, "[zoo_metrics]\nbuzz = kazoo:buzz\n", "while True: pass")
    found = say(
        site,
        "(setattr(plugin_trials, 'TRIAL_SECONDS', 3), plugin_trials.try_components(['zoo-kazoo'])[0].problem)[1]",
    )
    assert "it takes longer than 3 s" in found


def test_ordinary_lookup_imports_the_one_that_is_asked_for_alone(site):
    bring(site, "[zoo_models]\nkazoo-S = kazoo:small\n[zoo_metrics]\nbuzz = kazoo:buzz\n", "import os; os._exit(9)")
    assert "gave gru-S-flute" in say(site, "architectures.config_of('gru-S-flute').name")
    assert "There is no model 'kazo-S'" in say(site, "architectures.config_of('kazo-S')")
    assert site("-m", "zoo", "list").returncode == 0


def test_what_an_import_prints_and_changes_is_taken_back(site):
    source = (
        "print('hello')\nimport os, random, sys, warnings, numpy, torch\ntorch.set_default_dtype(torch.float64)\n"
        "torch.set_default_device('meta'); torch.set_grad_enabled(False); torch.manual_seed(3)\n"
        "random.seed(3); numpy.random.seed(3); numpy.seterr(all='raise'); warnings.simplefilter('error')\n"
        "os.chdir('/')\ndef buzz(): pass\n"
    )
    bring(site, "[zoo_metrics]\nbuzz = kazoo:buzz\n", source)
    look = """
import os, random, warnings, numpy, torch
from zoo import registry
def state():
    return (os.getcwd(), random.getstate(), str(numpy.random.get_state()), numpy.geterr(), list(warnings.filters),
        torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled(), torch.get_rng_state().tolist())
before = state()
registry.metrics.get("buzz")
print(before == state())
"""
    done = site("-c", look)
    assert done.stdout == "True\n"
    assert "hello" in done.stderr
    assert "Importing zoo-kazoo 1.2 changes" in done.stderr
    fresh = (
        "import sys\nfrom zoo import registry\nregistry.metrics.get('buzz')\nimport torch; print(torch.zeros(1).dtype)"
    )
    assert site("-c", fresh).stdout == "torch.float32\n"


def test_broken_card_of_one_plugin_breaks_its_own_name_alone(site):
    lay_out_shipping(site.folder, "zoo-kazoo", "kazoo", {"model_cards/gru-S-kazoo/README.md": "---\n: [\n---\n"})
    card = "---\nddsp-zoo:\n  hub: org/gru-S-viola\n---\n"
    lay_out_shipping(site.folder, "zoo-viola", "viola", {"model_cards/gru-S-viola/README.md": card})
    found = say(site, "resolve.find('gru-S-nothing')")
    assert "ModelNotFoundError There are no trained weights for gru-S-nothing" in found
    assert "kazoo" not in found
    assert "CheckpointError" in say(site, "resolve.find('gru-S-kazoo')")
    assert "gru-S-kazoo" in say(site, "list(resolve.published_offers())")
