import logging
import subprocess
import sys

import pytest

from zoo import register, registry
from zoo.commands.gin_program import main_functions
from zoo.errors import ConfigError, PluginError
from zoo.gin_config.configure import configure
from zoo.losses.distillation import OutputAudio, Reconstruction


def mix(*, data, steps=10, losses=(), options=None, out=None):
    """Stands for a main function."""


def pour(*, steps=1):
    """Another one."""


FUNCTIONS = {"mix": mix, "pour": pour}


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_arguments_come_from_files_bindings_and_the_command_line(tmp_path):
    file = write(
        tmp_path / "a.gin",
        "STEPS = 3\nmix.steps = %STEPS\nmix.data = 'x'\n"
        "mix.losses = [@reconstruction(), @output_audio()]\noutput_audio.weight = 0.25\n",
    )
    found = configure([file], ["STEPS = 5"], functions=FUNCTIONS).arguments("mix", out="runs/x")
    assert found["steps"] == 5
    assert found["data"] == "x"
    assert found["out"] == "runs/x"
    assert [type(loss) for loss in found["losses"]] == [Reconstruction, OutputAudio]
    assert [float(loss.weight) for loss in found["losses"]] == [1.0, 0.25]


def test_config_is_whole_and_can_be_run_again(tmp_path):
    write(tmp_path / "shared.gin", "STEPS = 3\nmix.steps = %STEPS\n")
    file = write(
        tmp_path / "a.gin",
        "include 'shared.gin'\nmix.data = 'x'\nmix.options = {'sizes': (1, 2), 'deep': [None, True]}\n"
        "mix.losses = [@reconstruction()]\nreconstruction.fft_sizes = (512, 64)\n",
    )
    first = configure([file], ["STEPS=7"], functions=FUNCTIONS)
    again = configure([write(tmp_path / "b" / "config.gin", first.config)], functions=FUNCTIONS)
    assert again.config == first.config
    found = again.arguments("mix")
    assert found["steps"] == 7
    assert found["options"] == {"sizes": (1, 2), "deep": [None, True]}
    assert found["losses"][0].settings.fft_sizes == (512, 64)


def test_operative_says_what_was_used_defaults_included():
    made = configure([], ["mix.data='x'", "mix.losses=[@reconstruction()]", "pour.steps=4"], functions=FUNCTIONS)
    made.arguments("mix")
    assert "mix.steps = 10" in made.operative
    assert "reconstruction.weight = 1.0" in made.operative
    assert "pour" not in made.operative


def test_nothing_is_left_over_from_an_earlier_configuration():
    configure([], ["mix.data='x'", "mix.steps=99"], functions=FUNCTIONS).arguments("mix")
    second = configure([], ["mix.data='y'"], functions=FUNCTIONS)
    assert second.arguments("mix") == {"data": "y"}
    assert "99" not in second.config


def test_direct_calls_are_not_configured():
    configure([], ["reconstruction.weight=0.125", "mix.losses=[@reconstruction()]"], functions=FUNCTIONS)
    assert float(Reconstruction().weight) == 1.0


def test_includes_are_relative_to_the_file_then_to_shipped_folders(tmp_path):
    write(tmp_path / "deep" / "part.gin", "mix.data = 'beside'\n")
    file = write(tmp_path / "deep" / "a.gin", "include 'part.gin'\ninclude 'train/gru-S.gin'\nDATASET = 'd'\n")
    functions = {**FUNCTIONS, **main_functions()}
    made = configure([file], functions=functions)
    assert made.arguments("mix")["data"] == "beside"
    assert made.make("train").dataset == "d"


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("mix.data=data/violin", "data/violin"),
        ("mix.data = violin", "violin"),
        ("mix.data=~/a-b.c", "~/a-b.c"),
        ("mix.data='quoted one'", "quoted one"),
        ("mix.data=org/model@v1", "org/model@v1"),
        ("mix.data=runs/a=b#2%", "runs/a=b#2%"),
        ("mix.data=.5", 0.5),
        ("mix.data=None", None),
        ("mix.data=3", 3),
    ],
)
def test_bare_words_and_paths_are_text(text, taken):
    assert configure([], [text], functions=FUNCTIONS).arguments("mix")["data"] == taken


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mix.stps=3", "no parameter 'stps'. Did you mean steps"),
        ("mx.steps=3", r"nothing is named 'mx'. Did you mean mix.*Others come with plugin packages"),
        ("mix.losses=[@reconstuction()]", "Did you mean reconstruction"),
        ("mix.losses=[@reconstruction]", r"write @reconstruction\(\), with brackets"),
        ("mix.losses=[@pour()]", "is a command"),
        ("reconstruction.wait=3", "no parameter 'wait'. Did you mean weight"),
        ("mix.steps=%STEP", "macro %STEP, which nothing sets"),
        ("mix.data=%gin.REQUIRED", "must be set: mix.data"),
        ("DATSET='x'", "no gin file has a macro DATSET"),
        ("mix.data=two words", "Text stands in quotes"),
        ("mix.data='open", "Text stands in quotes"),
        ("mix.data=true", "type True"),
        ("mix.data", "is not NAME=value"),
        ("mix.data=", "is not NAME=value"),
        ("=3", "is not NAME=value"),
        ("mix.options={[1]: 2}", "unhashable"),
        ("from __gin__ import dynamic_registration", "is not NAME=value"),
    ],
)
def test_a_mistake_is_told_with_what_to_type(text, message):
    with pytest.raises(ConfigError, match=message):
        configure([], [text], functions=FUNCTIONS)


def test_a_mistake_in_a_file_is_told_with_its_line(tmp_path):
    file = write(tmp_path / "a.gin", "# a comment\n\nmix.steps = 3\nmix.stepz = 4\n")
    with pytest.raises(ConfigError, match=r"a\.gin, line 4: mix has no parameter 'stepz'"):
        configure([file], functions=FUNCTIONS)
    file = write(tmp_path / "b.gin", "mix.steps = 3\nmix.data = = 4\n")
    with pytest.raises(ConfigError, match=r"b\.gin, line 2: "):
        configure([file], functions=FUNCTIONS)
    file = write(tmp_path / "c.gin", "mix.steps = [3\n")
    with pytest.raises(ConfigError, match=r"c\.gin"):
        configure([file], functions=FUNCTIONS)


def test_required_macros_are_all_named_with_where_they_are_asked_for(tmp_path):
    file = write(tmp_path / "a.gin", "A = %gin.REQUIRED\nB = %gin.REQUIRED\nmix.data = %A\nmix.steps = %B\n")
    with pytest.raises(
        ConfigError, match=r"must be set: A \(.*a\.gin, line 1\); B .*--set \"A='...'\" --set \"B='...'\""
    ):
        configure([file], functions=FUNCTIONS)
    with pytest.raises(ConfigError, match="must be set: B "):
        configure([file], ["A=1"], functions=FUNCTIONS)


def test_missing_argument_is_told_with_what_to_type():
    with pytest.raises(ConfigError, match=r'mix needs data, .* --set "mix.data=..."'):
        configure([], ["mix.steps=3"], functions=FUNCTIONS).arguments("mix")


def test_missing_file_lists_where_it_was_looked_for_and_near_names(tmp_path):
    with pytest.raises(ConfigError, match=r"Did you mean .*gru-L-to-gru-S") as caught:
        configure(["distill/gru-L-to-gru-s.gin"], functions=FUNCTIONS)
    assert str(tmp_path) in str(caught.value)
    file = write(tmp_path / "a.gin", "\ninclude 'nowhere.gin'\n")
    with pytest.raises(ConfigError, match=r"a\.gin, line 2: There is no gin file 'nowhere\.gin'"):
        configure([file], functions=FUNCTIONS)


def test_a_file_that_includes_itself_is_refused(tmp_path):
    write(tmp_path / "a.gin", "include 'b.gin'\n")
    write(tmp_path / "b.gin", "include 'a.gin'\n")
    with pytest.raises(ConfigError, match="includes itself"):
        configure(["a.gin"], functions=FUNCTIONS)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.gin").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="not a text file"):
        configure(["a.gin"], functions=FUNCTIONS)


def test_only_named_components_are_imported(monkeypatch):
    def refuse(entry):
        raise ImportError(f"{entry.name} is broken")

    monkeypatch.setattr(registry.synths, "_load", refuse)
    configure([], ["mix.losses=[@reconstruction()]"], functions=FUNCTIONS)
    with pytest.raises(PluginError, match="harmonic_noise"):
        configure([], ["harmonic_noise.hop=3"], functions=FUNCTIONS)


def test_a_setting_that_nothing_uses_is_told(caplog):
    with caplog.at_level(logging.WARNING):
        configure([], ["output_audio.weight=2.0", "mix.losses=[@reconstruction()]"], functions=FUNCTIONS)
    assert "output_audio.weight has no effect" in caplog.text


@pytest.mark.parametrize("text", ["mix.data=float('nan')", "mix.data=[bare]", "mix.data=-x"])
def test_a_word_that_is_no_value_is_told_in_words(text, tmp_path):
    with pytest.raises(ConfigError, match="is neither a number nor text in quotes") as caught:
        configure([], [text], functions=FUNCTIONS)
    assert "<ast" not in str(caught.value)
    assert ("'...'" in str(caught.value)) is (text == "mix.data=-x")
    with pytest.raises(ConfigError, match=r"a\.gin, line 1: ") as caught:
        configure([write(tmp_path / "a.gin", text.replace("=", " = ") + "\n")], functions=FUNCTIONS)
    assert "<ast" not in str(caught.value)


def test_a_macro_that_nothing_uses_is_told_with_near_ones(tmp_path, caplog):
    file = write(tmp_path / "a.gin", "STEPS = 3\nSTEP = 5\nSEED = 1\nmix.steps = %STEPS\n")
    with caplog.at_level(logging.WARNING):
        assert configure([file], functions=FUNCTIONS).arguments("mix", data="x")["steps"] == 3
    assert [record.getMessage() for record in caplog.records] == [
        f"{file}, line 2: STEP has no effect, since nothing uses %STEP. Did you mean STEPS?"
    ]


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("tones.phrases=3", "prepare.dataset_options"),
        ("yin.threshold=0.2", "prepare.pitch_options"),
        ("a_weighted.window_seconds=0.1", "prepare.loudness_options"),
    ],
)
def test_a_setting_of_what_a_command_builds_is_told_with_the_one_that_works(text, setting, caplog):
    with caplog.at_level(logging.WARNING):
        configure([], [text], functions=FUNCTIONS)
    assert f"{text.partition('=')[0]} has no effect, since only {setting} sets it. Write: {setting} = {{" in caplog.text


def test_a_module_of_ones_own_is_imported(tmp_path, monkeypatch):
    write(
        tmp_path / "my_losses.py",
        "from zoo import register\nfrom zoo.losses.distillation import Reconstruction\n\n"
        "@register.loss('mine')\nclass Mine(Reconstruction):\n    name = 'mine'\n",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    file = write(tmp_path / "a.gin", "import my_losses\nmix.data = 'x'\nmix.losses = [@mine()]\nmine.weight = 2.0\n")
    try:
        made = configure([file], functions=FUNCTIONS)
        assert made.arguments("mix")["losses"][0].label == "mine"
        assert "import my_losses" in made.config
    finally:
        registry.losses.unregister("mine")
    with pytest.raises(ConfigError, match="not_there"):
        configure([write(tmp_path / "b.gin", "import not_there\n")], functions=FUNCTIONS)


def test_a_component_defined_anew_takes_the_place_of_the_old_one():
    for weight in (1.0, 2.0):

        @register.loss("again")
        class Again(Reconstruction):
            default = weight

        made = configure([], ["mix.data='x'", "mix.losses=[@again()]"], functions=FUNCTIONS)
        assert made.arguments("mix")["losses"][0].default == weight
    registry.losses.unregister("again")


def test_an_option_that_a_component_refuses_keeps_its_own_message():
    with pytest.raises(ConfigError, match=r"^The weight of reconstruction must be a number of at least 0, found -1\.$"):
        configure(
            [], ["mix.data='x'", "mix.losses=[@reconstruction()]", "reconstruction.weight=-1"], functions=FUNCTIONS
        ).arguments("mix")


def test_library_code_does_not_import_gin():
    code = (
        "import sys, zoo, zoo.gin_config.configure, zoo.gin_config.files, zoo.losses.distillation\n"
        "import zoo.training.loop, zoo.training.fit, zoo.training.setup\n"
        "raise SystemExit('gin' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
