"""Plugins in a real virtual environment, from real wheels: installed, broken, clashing, made for another zoo, removed."""

import json

import pytest
from building import PLUGINS
from made_up import BROKEN, EVERY_ONE

DOCTOR = """
import io, json, os
from contextlib import redirect_stdout
from zoo.__main__ import COMMANDS, main

def doctor(*arguments):
    said = io.StringIO()
    with redirect_stdout(said):
        code = main(["doctor", *arguments])
    return code, said.getvalue()

result = {"plain": doctor(), "check": doctor("--check")}
os.environ["ZOO_NO_PLUGINS"] = "1"
result["safe"] = doctor("--check")
print(json.dumps(result))
"""


def doctor(environment):
    """Exit code and text of `doctor`, `doctor --check`, and the latter in safe mode; in one process, as it is slow."""
    done = environment.run("-c", DOCTOR)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def works(done):
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def see_that_zoo_works(environment):
    """Run what people run, none of which may notice a broken plugin; gives what `list` and `plugins` said."""
    assert "new-plugin" in works(environment.zoo("--help"))
    assert "gru-M-tones" in works(environment.zoo("list", "--pretrained"))
    assert "brought by  ddsp-zoo 0.1.0" in works(environment.zoo("info", "gru-S"))
    return works(environment.zoo("list")), works(environment.zoo("plugins"))


def test_zoo_that_runs_is_the_wheel_s(environment):
    code = "import zoo, zoo_kernels; print(zoo.__file__); print(zoo_kernels.__file__)"
    places = works(environment.run("-c", code)).split()
    assert [place.startswith(str(environment.packages)) for place in places] == [True, True]


def test_without_plugins_all_is_well(environment):
    listed, plugins = see_that_zoo_works(environment)
    assert plugins.startswith("No plugins are installed.")
    assert "example-S" not in listed
    assert works(environment.zoo("plugins", "--check")) == plugins


@pytest.mark.parametrize("project", PLUGINS, ids=lambda path: path.name)
def test_plugin_of_the_checkout_brings_its_models_and_takes_them_away(environment, installed, project):
    distribution = f"ddsp-{project.name}"
    installed(distribution)
    (plugin,) = json.loads(works(environment.zoo("plugins", "--check", "--json")))
    assert plugin["distribution"] == distribution
    assert (plugin["state"], plugin["problems"]) == ("ok", [])
    models = plugin["brings"]["models"]
    listed = works(environment.zoo("list")).split()
    assert set(models) <= set(listed)
    assert f"brought by  {distribution} " in works(environment.zoo("info", models[0]))
    assert models[0] not in works(environment.zoo("list", ZOO_NO_PLUGINS="1")).split()
    environment.uninstall(distribution)
    assert not set(models) & set(works(environment.zoo("list")).split())
    asked = environment.zoo("info", models[0])
    assert asked.returncode == 2
    assert f"There is no model '{models[0]}'" in asked.stderr


@pytest.mark.parametrize("plugins", BROKEN.values(), ids=BROKEN)
def test_broken_plugin_breaks_itself_alone_and_is_named(environment, installed, plugins):
    installed(*(made.distribution for made in plugins))
    listed, told = see_that_zoo_works(environment)
    broken = [line for line in told.splitlines() if line.startswith("broken: ")]
    assert len(broken) == len(plugins)
    for made, line in zip(plugins, broken, strict=True):
        assert line.startswith(f"broken: {made.distribution} 1.2: ")
        assert all(part in line for part in made.said)
        assert made.model in listed.split()
        asked = environment.zoo("info", made.model)
        assert asked.returncode == 2
        assert asked.stderr.count("\n") == 1
        assert f"{made.distribution} 1.2" in asked.stderr
        assert all(part in asked.stderr for part in made.said)
    assert environment.zoo("plugins", "--check").returncode == 1
    assert "ZOO_NO_PLUGINS is set" in works(environment.zoo("plugins", "--check", ZOO_NO_PLUGINS="1"))
    assert plugins[0].model not in works(environment.zoo("list", ZOO_NO_PLUGINS="1")).split()


def test_one_of_two_that_clash_removed_the_other_works(environment, installed):
    installed("zoo-clash-one", "zoo-clash-two")
    assert "clash: brought by zoo-clash-one 1.2 and zoo-clash-two 1.2" in works(environment.zoo("list", "clash-S"))
    environment.uninstall("zoo-clash-two")
    assert "brought by  zoo-clash-one 1.2" in works(environment.zoo("info", "clash-S"))
    assert works(environment.zoo("plugins", "--check")).split()[4:7] == ["zoo-clash-one", "1.2", "ok"]


def test_doctor_names_every_broken_plugin_and_fails_only_if_asked_to(environment, installed):
    before = doctor(environment)
    assert [code for code, _ in before.values()] == [0, 0, 0]
    assert "plugins: none: no plugins are installed" in before["check"][1]
    installed("ddsp-zoo-example", *(made.distribution for made in EVERY_ONE))
    after = doctor(environment)
    assert {name: code for name, (code, _) in after.items()} == {"plain": 0, "check": 1, "safe": 0}
    lines = after["plain"][1].splitlines()
    for made in EVERY_ONE:
        (line,) = [line for line in lines if line.startswith(f"plugins: {made.distribution} 1.2: broken: ")]
        assert all(part in line for part in made.said)
    assert any(line.startswith("plugins: ddsp-zoo-example 0.1.0: ok") for line in lines)
    assert "All that zoo needs works here." in lines
    assert lines[-2].startswith("broken plugins: zoo-clash-one, zoo-clash-two, zoo-lacks, zoo-newer, zoo-raises")
    assert not any(made.distribution in after["safe"][1] for made in EVERY_ONE)


def test_saved_model_of_a_plugin_loads_where_that_is_and_says_what_to_install_where_not(environment, installed):
    folder = environment.folder / "saved"
    installed("ddsp-zoo-example")
    make = "import sys, zoo; zoo.save(zoo.create('example-S', instrument='flute'), sys.argv[1])"
    load = "import sys, zoo; print(zoo.load(sys.argv[1]).decoder.__class__.__module__)"
    works(environment.run("-c", make, folder))
    assert works(environment.run("-c", load, folder)) == "zoo_example.decoder\n"
    safe = environment.run("-c", load, folder, ZOO_NO_PLUGINS="1")
    assert "ZOO_NO_PLUGINS" in safe.stderr
    environment.uninstall("ddsp-zoo-example")
    removed = environment.run("-c", load, folder)
    assert removed.returncode == 1
    assert "pip install ddsp-zoo-example" in removed.stderr
    assert "example" in works(environment.zoo("info", folder))
