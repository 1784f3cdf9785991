import shutil

import pytest
from report_parsing import Page

from zoo.__main__ import main


def report(*arguments):
    return main(["report", *map(str, arguments)])


def told(capsys):
    """The one message of a refusal."""
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert len(said.err.splitlines()) == 1
    return said.err


def test_report_is_written_and_told(comparison, tmp_path, capsys):
    assert report(comparison, "--out", tmp_path / "new" / "page", "--phrases", 1) == 0
    said = capsys.readouterr().out
    assert f"{tmp_path / 'new' / 'page' / 'index.html'}: " in said
    assert "2 runs, 1 phrase, 4 sounds. Open it in a browser." in said
    assert [path.name for path in (tmp_path / "new" / "page").iterdir()] == ["index.html"]


def test_run_that_is_given_twice_is_shown_once(comparison, tmp_path):
    assert report(comparison, comparison / "baseline-seed0", f"local-dir:{comparison}", "--out", tmp_path / "page") == 0
    assert len(Page(tmp_path / "page" / "index.html").all("article")) == 2


def test_runs_of_one_name_are_told_apart(comparison, tmp_path):
    other = tmp_path / "other" / "baseline-seed0"
    shutil.copytree(comparison / "baseline-seed0", other)
    assert report(comparison / "baseline-seed0", other, "--out", tmp_path / "page") == 0
    text = Page(tmp_path / "page" / "index.html").text
    assert "comparison/baseline-seed0" in text
    assert "other/baseline-seed0" in text


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nothing/here", "nothing/here"),
        ("gru-K-tones", "Did you mean"),
        ("gru-S", "without trained weights"),
        ("", "no folder here"),
    ],
)
def test_run_that_is_not_there_is_told(comparison, tmp_path, capsys, monkeypatch, reference, message):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert report(comparison, reference, "--out", tmp_path / "page") != 0
    assert message in told(capsys)
    assert not (tmp_path / "page").exists()


def test_folder_that_is_no_run_is_told(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert report(tmp_path / "empty", "--out", tmp_path / "page") == 2
    assert "has no config.json" in told(capsys)


def test_runs_without_any_sample_are_told(copied, tmp_path, capsys):
    for folder in copied:
        shutil.rmtree(folder / "samples")
    assert report(*copied, "--out", tmp_path / "page") == 2
    message = told(capsys)
    assert "nothing to hear" in message
    assert "--resume" in message
    assert not (tmp_path / "page").exists()


def test_samples_that_cannot_be_read_are_told(copied, tmp_path, capsys):
    for path in copied[0].glob("samples/*.wav"):
        path.write_bytes(b"")
    assert report(copied[0], "--out", tmp_path / "page") == 2
    assert "phrase1_recording.wav: the file is empty" in told(capsys)


@pytest.mark.parametrize(
    ("name", "content"),
    [("metrics.json", "{"), ("history.csv", "step\nmany\n"), ("config.json", "{}"), ("model.safetensors", "x")],
)
def test_damaged_run_is_told_by_its_file(copied, tmp_path, capsys, name, content):
    (copied[0] / name).write_text(content)
    assert report(copied[0], "--out", tmp_path / "page") == 2
    assert name in told(capsys)


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"m": 1}', '{"m": {"teacher": {"mean": 1}}}', '{"m": {"closed": "x"}}']
)
def test_damaged_comparison_is_told(copied, tmp_path, capsys, content):
    (copied[0].parent / "compare.json").write_text(content)
    assert report(copied[0].parent, "--out", tmp_path / "page") == 2
    assert "compare.json" in told(capsys)


def test_folder_that_is_not_empty_is_left_alone_unless_forced(comparison, tmp_path, capsys):
    out = tmp_path / "page"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    assert report(comparison, "--out", out) == 2
    assert "--force" in told(capsys)
    assert report(comparison, "--out", out, "--force") == 0
    assert report(comparison, "--out", out, "--force") == 0
    assert (out / "mine.txt").read_text() == "mine"
    assert sorted(path.name for path in out.iterdir()) == ["index.html", "mine.txt"]


def test_file_where_the_folder_should_be_is_told(comparison, tmp_path, capsys):
    (tmp_path / "page").write_text("")
    assert report(comparison, "--out", tmp_path / "page") == 2
    assert "is a file" in told(capsys)


def test_page_that_would_be_too_large_is_not_written(comparison, tmp_path, capsys):
    assert report(comparison, "--out", tmp_path / "page", "--max-mb", "0.1") == 2
    message = told(capsys)
    assert "0.1 are allowed" in message
    assert "--phrases 2" in message
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize("options", [("--phrases", "0"), ("--max-mb", "0"), ("--max-mb", "nan")])
def test_limits_that_allow_nothing_are_told(comparison, tmp_path, capsys, options):
    assert report(comparison, "--out", tmp_path / "page", *options) == 2
    assert options[0] in told(capsys)
