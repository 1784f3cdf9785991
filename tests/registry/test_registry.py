"""The registry, with real metadata on the path of real processes: catalogue reads it once, when imported."""

import subprocess
import sys
import textwrap

import pytest

import zoo
from zoo import registry
from zoo.decoders import Decoder
from zoo.errors import ConfigError, PluginError


def install(folder, distribution, version, entry_points, modules):
    """Lay out a distribution as an installer does: its modules and its dist-info folder."""
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(textwrap.dedent(entry_points))
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(source))


def run(folder, code):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={"PYTHONPATH": str(folder), "PATH": "", "ZOO_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=False,
    )


SHOW_ERROR = """
    from zoo import registry
    from zoo.errors import ZooError
    try:
        registry.{kind}.get("{name}")
    except ZooError as error:
        print(type(error).__name__, error)
"""


def test_plugin_names_are_listed_without_importing_it(tmp_path):
    install(tmp_path, "zoo-kazoo", "1.2", "[zoo_synths]\nkazoo = kazoo:Kazoo\n", {"kazoo": "raise RuntimeError('no')"})
    done = run(
        tmp_path,
        "import zoo.registry as r, sys; print({'harmonic_noise', 'kazoo'} <= set(r.synths), 'kazoo' in r.synths, "
        "'kazoo' in sys.modules)",
    )
    assert done.stdout.strip() == "True True False", done.stderr


def test_plugin_component_is_imported_by_name(tmp_path):
    install(tmp_path, "zoo-kazoo", "1.2", "[zoo_metrics]\nbuzz = kazoo:buzz\n", {"kazoo": "def buzz(a, b): return 42"})
    done = run(tmp_path, "from zoo import registry; print(registry.metrics.get('buzz')(1, 2))")
    assert done.stdout.strip() == "42", done.stderr


def test_broken_plugin_is_named_and_breaks_only_its_own_names(tmp_path):
    install(tmp_path, "zoo-kazoo", "1.2", "[zoo_decoders]\nbuzz = kazoo:Buzz\n", {"kazoo": "import not_there_at_all"})
    done = run(tmp_path, SHOW_ERROR.format(kind="decoders", name="buzz"))
    assert done.stdout.startswith("PluginError"), done.stderr
    assert "zoo-kazoo 1.2" in done.stdout
    assert "not_there_at_all" in done.stdout
    done = run(tmp_path, "from zoo import registry; print(registry.decoders.get('gru').__name__)")
    assert done.stdout.strip() == "GRUDecoder", done.stderr


def test_unknown_name_does_not_import_a_broken_plugin(tmp_path):
    install(tmp_path, "zoo-kazoo", "1.2", "[zoo_decoders]\nbuzz = kazoo:Buzz\n", {"kazoo": "import not_there_at_all"})
    done = run(tmp_path, SHOW_ERROR.format(kind="decoders", name="gur"))
    assert done.stdout.startswith("ConfigError"), done.stderr
    assert "decoder named 'gur'" in done.stdout
    assert "Did you mean gru" in done.stdout
    listed = done.stdout.partition("Installed decoders: ")[2].partition(".")[0].split(", ")
    assert {"buzz", "gru", "s4", "s4d", "tcn"} <= set(listed)  # and those of plugins that are installed here


def test_clash_of_two_distributions_names_both(tmp_path):
    install(tmp_path, "zoo-kazoo", "1.2", "[zoo_decoders]\nbuzz = kazoo:Buzz\n", {"kazoo": "class Buzz: pass"})
    install(tmp_path, "zoo-hornet", "0.3", "[zoo_decoders]\nbuzz = hornet:Buzz\n", {"hornet": "class Buzz: pass"})
    done = run(tmp_path, SHOW_ERROR.format(kind="decoders", name="buzz"))
    assert done.stdout.startswith("PluginError"), done.stderr
    assert "zoo-hornet 0.3 and zoo-kazoo 1.2" in done.stdout
    assert "pip uninstall" in done.stdout


def test_plugin_cannot_take_a_name_of_zoo_silently(tmp_path):
    install(tmp_path, "zoo-kazoo", "1.2", "[zoo_decoders]\ngru = kazoo:Buzz\n", {"kazoo": "class Buzz: pass"})
    done = run(tmp_path, SHOW_ERROR.format(kind="decoders", name="gru"))
    assert "ddsp-zoo" in done.stdout
    assert "zoo-kazoo 1.2" in done.stdout


def test_name_of_zoo_is_not_given_back_by_uninstalling_zoo(tmp_path):
    install(tmp_path, "a-kazoo", "1.2", "[zoo_decoders]\ngru = kazoo:Buzz\n", {"kazoo": "class Buzz: pass"})
    done = run(tmp_path, SHOW_ERROR.format(kind="decoders", name="gru"))
    assert "(pip uninstall a-kazoo)" in done.stdout


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        ("import not_there_at_all", "Install the package that has not_there_at_all, and tell the author of zoo-kazoo"),
        ("import kazoo.not_there", "pip install --force-reinstall zoo-kazoo"),
        ("import numpy.not_there", "pip install --force-reinstall zoo-kazoo"),
        ("from kazoo import Other", "Tell its author, or remove that package: pip uninstall zoo-kazoo"),
        ("class Buzz(:", "kazoo.py, line 1). Tell its author, or remove that package: pip uninstall zoo-kazoo"),
    ],
)
def test_advice_for_an_import_that_fails_is_what_can_help(tmp_path, source, advice):
    install(tmp_path, "zoo-kazoo", "1.2", "[zoo_metrics]\nbuzz = kazoo:Buzz\n", {"kazoo": source})
    done = run(tmp_path, SHOW_ERROR.format(kind="metrics", name="buzz"))
    assert advice in done.stdout
    assert "SyntaxError" not in done.stdout or f"({tmp_path}/kazoo.py, line 1)" in done.stdout


def test_every_registered_component_of_zoo_can_be_imported():
    for kind in registry.KINDS.values():
        for name in kind:
            if kind.entry(name).distribution == registry.OWN_DISTRIBUTION:  # plugins have tests of their own
                assert callable(kind.get(name)), (kind.kind, name)


def test_register_adds_a_component_to_this_process():
    @zoo.register.metric("always_one")
    def always_one(a, b):
        return 1

    try:
        assert registry.metrics.get("always_one") is always_one
        assert "always_one" in registry.metrics.names()
    finally:
        registry.metrics.unregister("always_one")
    assert "always_one" not in registry.metrics


def test_register_again_replaces_the_same_definition_and_refuses_another():
    def first(a, b):
        return 1

    def second(a, b):
        return 2

    try:
        zoo.register.metric("mine")(first)
        zoo.register.metric("mine")(first)
        with pytest.raises(PluginError, match="already there"):
            zoo.register.metric("mine")(second)
    finally:
        registry.metrics.unregister("mine")


def test_register_refuses_an_installed_name():
    with pytest.raises(PluginError, match="ddsp-zoo"):
        zoo.register.decoder("gru")(object)


def test_register_without_brackets_is_told():
    class Buzz:
        pass

    for decorate, said in ((zoo.register.decoder, "decoder"), (zoo.register.pitch, "pitch")):
        with pytest.raises(PluginError, match=rf'^Write @zoo\.register\.{said}\("name"\)\.$'):
            decorate(Buzz)


def test_register_refuses_what_an_installed_plugin_may_not_bring():
    class Buzz:
        pass

    with pytest.raises(PluginError, match=r"The loss cannot be called 'x y/\.\.'"):
        zoo.register.loss("x y/..")
    with pytest.raises(PluginError, match=r"'buzz' is .* and must be a class, a child of zoo\.decoders\.Decoder"):
        zoo.register.decoder("buzz")(Buzz)
    with pytest.raises(PluginError, match=r"'buzz' is an abstract class.*lacks forward"):
        zoo.register.decoder("buzz")(type("Half", (Decoder,), {}))
    assert "buzz" not in registry.decoders


def test_unknown_name_is_a_config_error_and_a_value_error():
    with pytest.raises(ConfigError, match="Installed losses"):
        registry.losses.get("output_audoi")
