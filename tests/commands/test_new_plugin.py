"""`zoo new-plugin`: names, refusals, and that what it writes is the example with its names replaced."""

import re

import pytest

from zoo.__main__ import main
from zoo.commands.new_plugin import Names, write_plugin
from zoo.errors import ConfigError


def test_written_package_has_the_example_s_files_and_none_of_its_names(tmp_path, capsys):
    assert main(["new-plugin", "zoo-kazoo", "--out", str(tmp_path / "kazoo")]) == 0
    files = sorted(p.relative_to(tmp_path / "kazoo").as_posix() for p in (tmp_path / "kazoo").rglob("*") if p.is_file())
    assert files == [
        "README.md",
        "pyproject.toml",
        "tests/test_zoo_kazoo.py",
        "zoo_kazoo/__init__.py",
        "zoo_kazoo/decoder.py",
        "zoo_kazoo/gin/distill/gru-M-to-kazoo-S.gin",
        "zoo_kazoo/gin/train/kazoo-S.gin",
        "zoo_kazoo/loss.py",
        "zoo_kazoo/models.py",
    ]
    text = "".join((tmp_path / "kazoo" / name).read_text() for name in files)
    assert not re.search("example", text, re.IGNORECASE)
    assert "class KazooDecoder(Decoder):" in text
    assert '"kazoo-S" = "zoo_kazoo.models:small"' in text
    assert 'name = "zoo-kazoo"' in text
    out = capsys.readouterr().out
    assert f'pip install -e "{tmp_path / "kazoo"}[test]"\n' in out
    assert f"{tmp_path / 'kazoo' / 'pyproject.toml'}\n" in out


def test_name_that_holds_the_example_s_is_not_replaced_twice(tmp_path):
    write_plugin("my-example-two", tmp_path / "x")
    text = (tmp_path / "x" / "pyproject.toml").read_text()
    assert 'my_example_two = "my_example_two.decoder:MyExampleTwoDecoder"' in text


@pytest.mark.parametrize(
    ("name", "package", "component"),
    [
        ("zoo-kazoo", "zoo_kazoo", "kazoo"),
        ("ddsp-zoo-kazoo", "ddsp_zoo_kazoo", "kazoo"),
        ("kazoo2", "kazoo2", "kazoo2"),
        ("my-synths", "my_synths", "my_synths"),
    ],
)
def test_names_follow_from_the_distribution_s(name, package, component):
    names = Names.of(name)
    assert (names.package, names.component) == (package, component)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Zoo_Kazoo", "Take for instance zoo-kazoo"),
        ("1st plugin!", "Take for instance st-plugin"),
        ("zoo--kazoo", "Take for instance zoo-kazoo"),
        ("---", "begins with a lower-case letter"),
        ("../evil", "Take for instance evil"),
        ("zoo-class", "class is a word of Python's own"),
        ("json", "its package json would hide another"),
        ("zoo", "its package zoo would hide another"),
        ("torch", r"there is a package torch here already \(.*torch"),
        ("ddsp-zoo", r"ddsp-zoo 0\.1\.0 is installed here, and yours would replace it"),
        ("zoo-gru", "the decoder 'gru' is there already, from ddsp-zoo"),
    ],
)
def test_name_that_will_not_do_is_refused(name, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        write_plugin(name, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_folder_that_holds_something_is_left_alone(tmp_path, capsys):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "thesis.txt").write_text("years of work")
    assert main(["new-plugin", "kazoo", "--out", str(tmp_path / "x")]) == 2
    assert "is not overwritten. Remove it, or give another folder: --out FOLDER" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "x").iterdir()] == ["thesis.txt"]


def test_default_folder_is_the_name_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["new-plugin", "zoo-kazoo"]) == 0
    assert (tmp_path / "zoo-kazoo" / "pyproject.toml").is_file()
