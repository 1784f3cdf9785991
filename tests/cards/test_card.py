"""The card of a run: what it says, and what stays when it is made anew."""

import json

import pytest
from huggingface_hub import ModelCard

import zoo
from zoo.__main__ import main
from zoo.cards import hub_reference, sections, write_card
from zoo.errors import CheckpointError
from zoo.storage.config import read_config

MEASURES = {
    "multi_scale_spectral": {"mean": 5.25, "std": 0.5, "n": 7},
    "real_time_factor": {"mean": 0.02, "std": 0.001, "n": 5},
}


@pytest.fixture
def run(tmp_path):
    model = zoo.create("gru-S", instrument="flute", hidden_size=8, reverb_length=100)
    above = {"dataset": {"name": "long phrases", "hash": "cd" * 32, "attribution": ["John Roe, CC0"]}}
    above["teacher"] = {"id": "org/gru-XL", "commit": "e" * 40, "name": "gru-XL-flute", "weights": "1" * 64}
    teacher = {"id": "org/gru-L", "commit": "c" * 40, "name": "gru-L-flute", "weights": "0" * 64, "lineage": above}
    data = {"name": "phrases", "hash": "ab" * 32, "attribution": ["Jane Doe, CC BY 4.0"]}
    model.config = model.config.with_changes(lineage={"dataset": data, "teacher": teacher})
    zoo.save(model, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").write_text(json.dumps({"teacher": MEASURES, "student": MEASURES}))
    return tmp_path / "run"


def test_card_says_what_it_is_made_from_down_to_the_last_teacher(run):
    card = ModelCard(write_card(run).read_text())
    assert card.data.base_model == "org/gru-L"
    assert card.data.to_dict()["ddsp_zoo"]["teacher"] == {"id": "org/gru-L", "commit": "c" * 40, "weights": "0" * 64}
    for fact in ("c" * 40, f"gru-XL-flute (org/gru-XL@{'e' * 40})", "ab" * 32, "Jane Doe, CC BY 4.0", "John Roe, CC0"):
        assert fact in card.text


def test_card_shows_measures_and_speed_apart(run):
    card = ModelCard(write_card(run).read_text())
    assert {result.metric_type: result.metric_value for result in card.data.eval_results} == {
        "multi_scale_spectral": 5.25,
        "real_time_factor": 0.02,
    }
    table = next(line for line in card.text.splitlines() if line.startswith("| multi-scale"))
    assert table == "| multi-scale spectral distance | 5.25 ± 0.5 | 5.25 ± 0.5 |"
    assert "over 7 held-out segments" in card.text
    assert "Rendering took 0.02 ± 0.001 of the audio's own duration" in card.text


def test_what_a_person_wrote_stays_when_the_card_is_made_anew(run, capsys):
    card = write_card(run)
    card.write_text(card.read_text().replace("<!-- end of", "Played by *Jane*.\n\n## My heading\n<!-- end of"))
    (run / "metrics.json").unlink()
    assert main(["card", str(run), "--licence", "cc-by-4.0"]) == 0
    assert main(["card", str(run)]) == 0
    text = card.read_text()
    assert "Played by *Jane*.\n\n## My heading\n" in text
    assert "Not measured yet" in text
    assert ModelCard(text).data.license == "cc-by-4.0"
    assert str(card) in capsys.readouterr().out


def test_authors_of_many_recordings_are_named_once(run):
    config = read_config(run)
    lines = [f"Jane Doe, CC BY 4.0, site:{number}.wav" for number in range(40)] + ["John Roe, CC0, site:b.wav"]
    lineage = {**config.lineage, "dataset": {**config.lineage["dataset"], "attribution": lines}}
    shown = sections.licence("cc-by-4.0", config.with_changes(lineage=lineage))
    assert "- Jane Doe, CC BY 4.0: 40 recordings" in shown
    assert "- John Roe, CC0, site:b.wav" in shown
    before, after = shown.split("<details>")
    assert "site:7.wav" not in before
    assert all(f"- site:{number}.wav" in after for number in range(40))


def test_card_made_anew_is_the_same(run):
    first = write_card(run).read_text()
    assert write_card(run).read_text() == first


def test_card_whose_metadata_is_broken_is_told_and_left(run):
    card = write_card(run)
    card.write_text("---\nlicense: [\n---\nprecious")
    with pytest.raises(CheckpointError, match="metadata that cannot be read"):
        write_card(run)
    assert "precious" in card.read_text()


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [("ddsp_zoo:\n  hub: org/x@v1", "org/x@v1"), ("ddsp_zoo: 3", None), ("license: mit", None)],
)
def test_card_names_its_place_on_the_hub(tmp_path, metadata, expected):
    (tmp_path / "README.md").write_text(f"---\n{metadata}\n---\n# x\n")
    assert hub_reference(tmp_path) == expected


def test_info_shows_the_chain_of_teachers(run, capsys):
    assert main(["info", str(run), "--lineage"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["student", "teacher", "its"]
    assert f"org/gru-L@{'c' * 40}" in lines[2]
    assert f"org/gru-XL@{'e' * 40}" in lines[3]
