"""Plugins in a real virtual environment, from real wheels: each, broken, clashing, for a newer zoo, removed."""

import json

import pytest
from building import CHECKOUT, PLUGINS, build_wheels
from made_up import BROKEN, EVERY_ONE

PAGE = (CHECKOUT / "docs" / "plugins.md").read_text()

DOCTOR = """
from zoo import registry
from zoo.__main__ import main
from zoo.commands import environment

# The loops run as plain Python here, as which librosa's pitch search does not work: compiling it takes half a minute.
environment.pitch_trackers = lambda report: {"left out": "tried by the doctor's own tests"}
codes = [main(["doctor", "--check"])]
for command in registry.commands:
    try:
        main([command, "--help"])
    except SystemExit as end:
        codes.append(end.code)
print(*codes)
"""


PLUGINS_TOLD = """
from zoo.commands.doctor import Report, environment

print(environment.plugins(Report()))
"""


def doctor(environment):
    """Lines of `doctor --check` and its exit code; in the same process every command is asked for its help.

    Importing all takes long.
    """
    *lines, codes = works(environment.run("-c", DOCTOR)).splitlines()
    code, *others = codes.split()
    assert others == ["0"] * len(others)
    assert len(others) > 10
    return lines[: next(i for i, line in enumerate(lines) if line.startswith("usage: "))], code


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
def test_plugin_of_the_checkout_brings_models_and_commands_and_takes_them_away(environment, installed, project):
    distribution = f"ddsp-{project.name}"
    installed(distribution)
    (plugin,) = json.loads(works(environment.zoo("plugins", "--check", "--json")))
    assert plugin["distribution"] == distribution
    assert (plugin["state"], plugin["problems"]) == ("ok", [])
    models, commands = (plugin["brings"].get(kind, []) for kind in ("models", "commands"))
    assert models or commands
    assert set(models) <= set(works(environment.zoo("list")).split())
    for model in models[:1]:
        assert f"brought by  {distribution} " in works(environment.zoo("info", model))
        assert model not in works(environment.zoo("list", ZOO_NO_PLUGINS="1")).split()
    for command in commands:
        assert "examples:" in works(environment.zoo(command, "--help"))
    environment.uninstall(distribution)
    assert not set(models) & set(works(environment.zoo("list")).split())
    for model in models[:1]:
        asked = environment.zoo("info", model)
        assert asked.returncode == 2
        assert f"There is no model '{model}'" in asked.stderr
    for command in commands:
        asked = environment.zoo(command, "--help")
        assert asked.returncode == 2
        assert f"Type: pip install {distribution}" in asked.stderr


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
        assert f"`{asked.stderr.removeprefix('error: ').strip()}`" in PAGE
    assert environment.zoo("plugins", "--check").returncode == 1
    assert "ZOO_NO_PLUGINS is set" in works(environment.zoo("plugins", "--check", ZOO_NO_PLUGINS="1"))
    assert plugins[0].model not in works(environment.zoo("list", ZOO_NO_PLUGINS="1")).split()


def test_one_of_two_that_clash_removed_the_other_works(environment, installed):
    installed("zoo-clash-one", "zoo-clash-two")
    assert "clash: brought by zoo-clash-one 1.2 and zoo-clash-two 1.2" in works(environment.zoo("list", "clash-S"))
    environment.uninstall("zoo-clash-two")
    assert "brought by  zoo-clash-one 1.2" in works(environment.zoo("info", "clash-S"))
    assert works(environment.zoo("plugins", "--check")).split()[4:7] == ["zoo-clash-one", "1.2", "ok"]


def test_doctor_names_every_broken_plugin_and_fails_if_asked_to(environment, installed):
    assert works(environment.run("-c", PLUGINS_TOLD)) == "{'none': 'no plugins are installed'}\n"
    installed("ddsp-zoo-example", *(made.distribution for made in EVERY_ONE))
    lines, code = doctor(environment)
    assert code == "1"
    for made in EVERY_ONE:
        (line,) = [line for line in lines if line.startswith(f"plugins: {made.distribution} 1.2: broken: ")]
        assert all(part in line for part in made.said)
    assert any(line.startswith("plugins: ddsp-zoo-example 0.1.0: ok") for line in lines)
    names = ", ".join(sorted(made.distribution for made in EVERY_ONE))
    assert lines[-2:] == [
        f"broken plugins: {names} (zoo plugins says why)",
        "All that zoo needs works here.",
    ]


SAVE = "import sys, zoo; zoo.save(zoo.create('example-S', instrument='flute'), sys.argv[1])"
LOAD = """
import os, sys, zoo
print(zoo.load(sys.argv[1]).decoder.__class__.__module__)
os.environ["ZOO_NO_PLUGINS"] = "1"
zoo.load(sys.argv[1])
"""


def test_saved_model_of_a_plugin_loads_where_that_is_and_says_what_to_install_where_not(environment, installed):
    folder = environment.folder / "saved"
    installed("ddsp-zoo-example")
    works(environment.run("-c", SAVE, folder))
    loaded = environment.run("-c", LOAD, folder)
    assert loaded.stdout == "zoo_example.decoder\n"
    assert "ZOO_NO_PLUGINS is set, so what plugins bring is left out" in loaded.stderr
    assert works(environment.zoo("plugins")) in PAGE
    environment.uninstall("ddsp-zoo-example")
    removed = environment.run("-c", LOAD, folder)
    assert removed.returncode == 1
    assert removed.stdout == ""
    assert "example" in works(environment.zoo("info", folder))
    said = removed.stderr.splitlines()[-1].removeprefix("zoo.errors.PluginError: ")
    assert said.endswith("pip install ddsp-zoo-example")
    assert f"`{said}`" in PAGE


def test_tests_of_a_plugin_are_skipped_where_it_is_not_installed(environment):
    done = environment.run("-m", "pytest", CHECKOUT / "plugins", "-rs", "-p", "no:cacheprovider")
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout
    for project in PLUGINS:
        assert f"ddsp-{project.name} is not installed. Type: pip install ./plugins/{project.name}" in done.stdout
    assert " error" not in done.stdout


def test_new_plugin_is_installed_as_it_was_written_and_its_tests_pass(environment, installed, made_up_wheels):
    folder = environment.folder / "zoo-kazoo"
    works(environment.zoo("new-plugin", "zoo-kazoo", "--out", folder))
    made_up_wheels |= build_wheels([folder], environment.folder / "wheels")
    installed("zoo-kazoo")
    assert " passed in " in works(environment.run("-m", "pytest", folder))
    assert works(environment.zoo("plugins", "--check")).split()[4:7] == ["zoo-kazoo", "0.1.0", "ok"]
