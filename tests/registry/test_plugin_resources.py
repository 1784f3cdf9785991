"""gin files and models that plugins ship beside their code."""

import shutil
import sys

import pytest
import torch
from building import MODELS
from plugin_layout import lay_out, lay_out_model, lay_out_shipping

import zoo
from zoo import registry
from zoo.__main__ import main
from zoo.errors import ConfigError, PluginError
from zoo.gin_config.files import find_gin_file, shipped_gin_files
from zoo.registry import paths


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def test_gin_files_of_a_plugin_are_found_and_listed_without_importing_it(site):
    lay_out_shipping(site, "zoo-kazoo", "kazoo", {"gin/train/kazoo-S.gin": "include 'train/default.gin'\n"})
    assert find_gin_file("train/kazoo-S") == site / "kazoo" / "gin" / "train" / "kazoo-S.gin"
    assert "train/kazoo-S.gin" in shipped_gin_files()
    assert "kazoo" not in sys.modules
    with pytest.raises(ConfigError, match=r"Did you mean train/kazoo-S"):
        find_gin_file("train/kazo-S")


def test_gin_file_of_a_plugin_includes_those_of_zoo(site):
    from zoo.gin_config.files import read_files

    lay_out_shipping(site, "zoo-kazoo", "kazoo", {"gin/train/kazoo-S.gin": "include 'train/default.gin'\n"})
    assert any(getattr(statement, "name", "") == "STEPS" for statement in read_files(["train/kazoo-S.gin"]))


def test_gin_file_that_two_ship_is_refused_when_it_is_asked_for(site):
    for distribution, package in (("zoo-kazoo", "kazoo"), ("zoo-hornet", "hornet")):
        lay_out_shipping(site, distribution, package, {"gin/train/buzz.gin": ""})
    with pytest.raises(
        PluginError, match=r"'train/buzz.gin' is shipped by zoo-hornet 1.2 and zoo-kazoo 1.2.*uninstall"
    ):
        find_gin_file("train/buzz.gin")
    assert find_gin_file("train/gru-S").is_file()


def test_plugin_cannot_replace_a_gin_file_of_zoo_silently(site):
    lay_out_shipping(site, "zoo-kazoo", "kazoo", {"gin/train/gru-S.gin": ""})
    with pytest.raises(PluginError, match=r"shipped by ddsp-zoo and zoo-kazoo 1.2.*pip uninstall zoo-kazoo"):
        find_gin_file("train/gru-S")


def test_model_of_a_plugin_is_listed_loaded_and_told_apart(site, capsys):
    lay_out_shipping(site, "zoo-kazoo", "kazoo", {})
    lay_out_model(site, "kazoo", "gru-M-kazoo")
    assert zoo.list_models("*kazoo", pretrained=True) == ["gru-M-kazoo"]
    assert zoo.load("gru-M-kazoo").num_parameters == zoo.load("gru-M-tones").num_parameters
    assert main(["list", "gru-M-*"]) == 0
    listed = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert ["gru-M-kazoo", "shipped by zoo-kazoo 1.2"] in listed
    assert ["gru-M-tones", "shipped"] in listed
    assert zoo.info("gru-M-kazoo").status == "shipped by zoo-kazoo 1.2"
    assert "kazoo" not in sys.modules


def test_model_that_two_ship_is_listed_as_a_clash_and_refused(site, capsys):
    for distribution, package in (("zoo-kazoo", "kazoo"), ("zoo-hornet", "hornet")):
        lay_out_shipping(site, distribution, package, {})
        lay_out_model(site, package, "gru-M-buzz")
    assert main(["list", "*buzz"]) == 0
    assert "gru-M-buzz  clash: shipped by zoo-hornet 1.2 and zoo-kazoo 1.2" in capsys.readouterr().out.splitlines()
    with pytest.raises(PluginError, match=r"'gru-M-buzz' is shipped by zoo-hornet 1.2 and zoo-kazoo 1.2"):
        zoo.load("gru-M-buzz")
    assert zoo.load("gru-M-tones").name == "gru-M-tones"


def test_models_of_this_project_are_read_from_the_checkout_where_there_is_one(site, tmp_path, monkeypatch, capsys):
    """An installed ddsp-zoo-models holds the same models, of another day: that is no clash."""
    checkout = tmp_path / "checkout"
    shutil.copytree(MODELS / "gru-M-tones", checkout / "model_cards" / "gru-M-kazoo")
    monkeypatch.setattr(paths, "_PACKAGE", checkout / "zoo")
    lay_out_shipping(site, "ddsp-zoo-models", "zoo_models", {})
    lay_out_model(site, "zoo_models", "gru-M-kazoo")
    assert zoo.info("gru-M-kazoo").folder == checkout / "model_cards" / "gru-M-kazoo"
    assert main(["list", "gru-M-kazoo"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "gru-M-kazoo  shipped"
    assert main(["plugins"]) == 0
    assert "ddsp-zoo-models 1.2 ok trained models: gru-M-kazoo" in " ".join(capsys.readouterr().out.split())
    lay_out_shipping(site, "zoo-kazoo", "kazoo", {})
    lay_out_model(site, "kazoo", "gru-M-kazoo")
    with pytest.raises(PluginError, match=r"shipped by ddsp-zoo-models and zoo-kazoo 1.2.*pip uninstall zoo-kazoo"):
        zoo.load("gru-M-kazoo")


def test_architecture_that_two_bring_is_listed_as_a_clash(site, capsys):
    lay_out(site, "zoo-kazoo", "1.2", "[zoo_models]\ngru-M = kazoo:gru_M\n", {})
    assert main(["list", "gru-M*"]) == 0
    listed = capsys.readouterr().out
    assert "clash: brought by ddsp-zoo 0.1.0 and zoo-kazoo 1.2\n" in listed
    assert zoo.info("gru-M-tones").brought_by == "ddsp-zoo 0.1.0 and zoo-kazoo 1.2"


def test_package_within_a_package_and_missing_ones_ship_nothing_and_say_why(site):
    targets = "[zoo_resources]\ninner = kazoo.inner\nmissing = not_there_at_all\n"
    lay_out(site, "zoo-kazoo", "1.2", targets, {"kazoo/__init__.py": "raise RuntimeError('imported')"})
    problems = [resources.problem for resources in paths.plugin_resources()]
    assert any("'kazoo.inner' is not the name of a top-level" in problem for problem in problems)
    assert "there is no import package not_there_at_all" in problems
    assert not any(site in folder.parents for folder in paths.gin_folders())


def test_package_that_an_editable_install_brings_is_found(site, tmp_path, monkeypatch):
    """Some build backends install a finder rather than a folder on the path."""
    lay_out(site, "zoo-kazoo", "1.2", "[zoo_resources]\nkazoo = kazoo\n", {})
    source = tmp_path / "checkout" / "src" / "kazoo"
    (source / "gin").mkdir(parents=True)
    (source / "__init__.py").write_text("raise RuntimeError('imported')")
    (source / "gin" / "hum.gin").write_text("")
    (site / "_kazoo_finder.py").write_text(
        "from importlib.util import spec_from_file_location\n"
        "class Finder:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        f"        return spec_from_file_location(name, {str(source / '__init__.py')!r}) if name == 'kazoo' else None\n"
    )
    from importlib import import_module

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, import_module("_kazoo_finder").Finder])
    assert find_gin_file("hum.gin") == source / "gin" / "hum.gin"


def test_safe_mode_sees_no_plugin(site, monkeypatch, capsys):
    entry_points = "[zoo_decoders]\nbuzz = kazoo:Buzz\ngru = kazoo:Buzz\n[zoo_resources]\nkazoo = kazoo\n"
    lay_out(site, "zoo-kazoo", "1.2", entry_points, {"kazoo/gin/train/buzz.gin": "", "kazoo/__init__.py": ""})
    lay_out_model(site, "kazoo", "gru-M-kazoo")
    assert "buzz" in registry.decoders
    with pytest.raises(PluginError, match="zoo-kazoo"):
        registry.decoders.get("gru")
    monkeypatch.setenv("ZOO_NO_PLUGINS", "1")
    assert registry.decoders.names() == ["gru", "s4", "s4d", "tcn"]
    assert registry.decoders.get("gru").__name__ == "GRUDecoder"
    assert zoo.list_models("*kazoo") == []
    assert "train/buzz.gin" not in shipped_gin_files()
    with pytest.raises(ConfigError, match="ZOO_NO_PLUGINS is set, so what plugins bring is left out"):
        registry.decoders.get("buzz")
    monkeypatch.setenv("ZOO_NO_PLUGINS", "0")
    assert "buzz" in registry.decoders


@pytest.mark.parametrize(
    ("requires", "said", "fix"),
    [
        ("ddsp-zoo>=9", r"a newer zoo: it needs ddsp-zoo>=9, and this is 0\.1\.0", r'pip install -U "ddsp-zoo>=9"'),
        ("DDSP_Zoo[keops] ~= 9.1", r"a newer zoo: it needs ddsp-zoo~=9\.1", r'pip install -U "ddsp-zoo~=9\.1"'),
        ("ddsp-zoo-kernels>=9", "a newer zoo: it needs ddsp-zoo-kernels>=9", r"ddsp-zoo-kernels>=9"),
        ("ddsp-zoo<0.1", r"an older zoo: it needs ddsp-zoo<0\.1", "pip install -U zoo-kazoo"),
    ],
)
def test_component_made_for_another_zoo_is_refused_before_it_is_imported(site, requires, said, fix):
    files = {"kazoo.py": "raise RuntimeError('imported')"}
    lay_out(site, "zoo-kazoo", "1.2", "[zoo_decoders]\nbuzz = kazoo:Buzz\n", files, [requires])
    with pytest.raises(PluginError, match=rf"decoder 'buzz' of zoo-kazoo 1\.2 is made for {said}.*{fix}"):
        registry.decoders.get("buzz")
    assert "kazoo" not in sys.modules


def test_component_whose_requirement_is_missing_says_what_to_install(site):
    files = {"kazoo.py": "import not_there_at_all"}
    requires = ["ddsp-zoo>=0.1", "not-there-at-all>=2", "other; extra == 'x'"]
    lay_out(site, "zoo-kazoo", "1.2", "[zoo_decoders]\nbuzz = kazoo:Buzz\n", files, requires)
    with pytest.raises(
        PluginError, match=r'needs not-there-at-all>=2, which is not.*pip install "not-there-at-all>=2"'
    ):
        registry.decoders.get("buzz")


def test_plugin_that_exits_when_imported_is_broken_and_does_not_end_zoo(site):
    lay_out(site, "zoo-kazoo", "1.2", "[zoo_decoders]\nbuzz = kazoo_exits:Buzz\n", {"kazoo_exits.py": "exit(3)"})
    with pytest.raises(PluginError, match=r"zoo-kazoo 1\.2 cannot be imported .*SystemExit"):
        registry.decoders.get("buzz")


@pytest.mark.parametrize(
    ("features", "said"),
    [({"tracker": "buzz"}, "the pitch tracker 'buzz'"), ({"loudness": "hum"}, "the loudness 'hum'")],
)
def test_model_whose_features_a_plugin_measures_names_it_where_it_is_gone(site, tmp_path, features, said):
    lay_out(site, "zoo-kazoo", "1.2", "[zoo_pitch]\nbuzz = kazoo:buzz\n[zoo_loudness]\nhum = kazoo:hum\n", {})
    run = zoo.save(zoo.create("gru-S", hidden_size=8, features=features), tmp_path / "run", golden=False)
    shutil.rmtree(site / "zoo_kazoo-1.2.dist-info")
    model = zoo.load(run)
    with pytest.raises(PluginError, match=rf"gru-S needs {said}, which is not installed here.*pip install zoo-kazoo"):
        model.synthesize(torch.rand(3200), sample_rate=16000)


def test_remains_of_an_uninstalled_plugin_are_no_error(site):
    lay_out(site, "zoo-kazoo", "1.2", "[zoo_decoders]\nbuzz = kazoo:Buzz\n", {})
    (site / "zoo_kazoo-1.2.dist-info" / "METADATA").unlink()
    assert "buzz" not in registry.decoders
