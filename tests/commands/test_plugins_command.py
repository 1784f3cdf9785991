"""`zoo plugins`, with distributions laid out as an installer does."""

import json
import sys

import pytest
from plugin_layout import lay_out, lay_out_shipping

from zoo.__main__ import main


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("kazoo"):
            del sys.modules[name]


def broken_lines(capsys):
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("broken: ")]


def test_plugin_is_listed_with_all_that_it_brings(site, capsys):
    entry_points = (
        "[zoo_metrics]\nbuzz = kazoo:buzz\nhum = kazoo:hum\n[zoo_losses]\nhiss = kazoo:Hiss\n"
        "[zoo_resources]\nkazoo = kazoo\n"
    )
    source = "print('hello')\ndef buzz(): pass\ndef hum(): pass\nclass Hiss: pass\n"
    files = {"kazoo/__init__.py": source, "kazoo/gin/train/kazoo.gin": ""}
    lay_out(site, "zoo-kazoo", "1.2", entry_points, files, ["ddsp-zoo>=0.1", "numpy"])
    assert main(["plugins", "--check"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["distribution", "version", "state", "brings"]
    (line,) = [line for line in lines if line.startswith("zoo-kazoo ")]  # beside those that are installed here
    assert line.split(None, 3) == [
        *("zoo-kazoo", "1.2", "ok"),
        "losses: hiss; metrics: buzz, hum; gin files: train/kazoo.gin",
    ]


def test_import_error_is_told_once_and_fails_the_check_alone(site, capsys):
    entry_points = "[zoo_decoders]\nbuzz = kazoo:Buzz\nhum = kazoo:Hum\n"
    lay_out(site, "zoo-kazoo", "1.2", entry_points, {"kazoo.py": "import not_there_at_all"})
    assert main(["plugins"]) == 0
    (line,) = broken_lines(capsys)
    assert line.startswith("broken: zoo-kazoo 1.2: The decoder 'buzz' of zoo-kazoo 1.2 cannot be imported")
    assert main(["plugins", "--check"]) == 1


def test_json_has_the_same(site, capsys):
    lay_out(site, "zoo-kazoo", "1.2", "[zoo_metrics]\nbuzz = kazoo:buzz\n", {"kazoo.py": "def buzz(): pass"})
    assert main(["plugins", "--json"]) == 0
    (plugin,) = [each for each in json.loads(capsys.readouterr().out) if each["distribution"] == "zoo-kazoo"]
    assert plugin == {
        "distribution": "zoo-kazoo",
        "version": "1.2",
        "brings": {"metrics": ["buzz"]},
        "problems": [],
        "state": "ok",
    }


def test_attribute_that_is_not_there_is_told(site, capsys):
    lay_out(site, "zoo-kazoo", "1.2", "[zoo_decoders]\nbuzz = kazoo:Buzz\n", {"kazoo.py": ""})
    main(["plugins"])
    (line,) = broken_lines(capsys)
    assert "AttributeError" in line
    assert "(kazoo:Buzz)" in line


def test_requirement_that_is_only_needed_later_is_told_before(site, capsys):
    source = {"kazoo.py": "def buzz(): pass"}
    lay_out(site, "zoo-kazoo", "1.2", "[zoo_metrics]\nbuzz = kazoo:buzz\n", source, ["not-there>=2", "numpy>=99"])
    assert main(["plugins", "--check"]) == 1
    lines = broken_lines(capsys)
    assert any('needs not-there>=2, which is not installed. Type: pip install "not-there>=2"' in x for x in lines)
    assert any("needs numpy>=99, and there is 2" in line for line in lines)


def test_plugin_for_a_newer_zoo_is_told_without_importing_it(site, capsys):
    lay_out(
        site,
        "zoo-kazoo",
        "1.2",
        "[zoo_decoders]\nbuzz = kazoo:B\nhum = kazoo:H\n",
        {"kazoo.py": "1/0"},
        ["ddsp-zoo>=9"],
    )
    main(["plugins"])
    (line,) = broken_lines(capsys)
    assert line == (
        "broken: zoo-kazoo 1.2: It is made for a newer zoo: it needs ddsp-zoo>=9, and this is 0.1.0. "
        'Type: pip install -U "ddsp-zoo>=9"'
    )


def test_clash_is_told_of_both(site, capsys):
    for distribution in ("zoo-kazoo", "zoo-kazoo2"):
        lay_out(site, distribution, "1.2", "[zoo_metrics]\nbuzz = kazoo:buzz\n", {"kazoo.py": "def buzz(): pass"})
    main(["plugins"])
    lines = broken_lines(capsys)
    assert [line.split(": ")[1] for line in lines] == ["zoo-kazoo 1.2", "zoo-kazoo2 1.2"]
    assert all("offered by zoo-kazoo 1.2 and zoo-kazoo2 1.2" in line for line in lines)


def test_resources_that_clash_or_lead_nowhere_are_told(site, capsys):
    lay_out_shipping(site, "zoo-kazoo", "kazoo", {"gin/train/gru-S.gin": ""})
    lay_out(site, "zoo-nothing", "1", "[zoo_resources]\nx = not_there\n", {})
    lay_out(site, "zoo-empty", "1", "[zoo_resources]\nx = empty_one\n", {"empty_one/__init__.py": ""})
    assert main(["plugins", "--check"]) == 1
    clash, empty, nowhere = sorted(broken_lines(capsys), key=lambda line: ("kazoo" not in line, line))
    assert "'train/gru-S.gin' is shipped by ddsp-zoo and zoo-kazoo 1.2" in clash
    assert "no folder gin or model_cards" in empty
    assert "there is no import package not_there" in nowhere


def test_misspelt_group_is_told(site, capsys):
    lay_out(site, "zoo-kazoo", "1.2", "[zoo_decoder]\nbuzz = kazoo:Buzz\n", {})
    main(["plugins"])
    (line,) = broken_lines(capsys)
    assert "group 'zoo_decoder', which means nothing. Did you mean zoo_decoders" in line


def test_name_that_cannot_be_used_is_told_once_and_fails_the_check(site, capsys):
    entry_points = "[zoo_metrics]\nodd/x = kazoo:buzz\nbuzz = kazoo:buzz\n"
    lay_out(site, "zoo-kazoo", "1.2", entry_points, {"kazoo.py": "def buzz(): pass"})
    assert main(["plugins", "--check"]) == 1
    said = capsys.readouterr()
    assert [line for line in said.out.splitlines() if line.startswith("broken: ")] == [
        "broken: zoo-kazoo 1.2: Its 'odd/x' in the group zoo_metrics is left out: it has a slash, and is no path. "
        "Tell its author."
    ]
    (line,) = (line for line in said.out.splitlines() if line.startswith("zoo-kazoo "))
    assert line.split() == ["zoo-kazoo", "1.2", "broken", "metrics:", "buzz"]
    assert "odd" not in said.err


def test_abstract_component_is_told_with_what_it_lacks_here_and_where_it_is_used(site, capsys):
    source = "from zoo.export import Exporter\nclass Npz(Exporter): suffixes = ('.npz',)"
    lay_out(site, "zoo-kazoo", "1.2", "[zoo_exporters]\nnpz = kazoo:Npz\n", {"kazoo.py": source})
    assert main(["plugins", "--check"]) == 1
    (line,) = broken_lines(capsys)
    lacks = (
        "The exporter 'npz' of zoo-kazoo 1.2 (kazoo:Npz) is an abstract class, of which none can be made: "
        "it lacks load, versions, write."
    )
    assert lacks in line
    assert main(["export", "gru-M-tones", "--to", "npz", "--out", str(site / "x.npz")]) == 2
    assert lacks in capsys.readouterr().err


def test_safe_mode_is_said(site, capsys, monkeypatch):
    lay_out(site, "zoo-kazoo", "1.2", "[zoo_decoders]\nbuzz = kazoo:Buzz\n", {"kazoo.py": "1/0"})
    monkeypatch.setenv("ZOO_NO_PLUGINS", "1")
    assert main(["plugins", "--check"]) == 0
    assert "ZOO_NO_PLUGINS is set: plugins are left out" in capsys.readouterr().out
