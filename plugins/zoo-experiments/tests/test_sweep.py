import csv

import pytest
from zoo_experiments.grid import cells_of
from zoo_experiments.search import Search
from zoo_experiments.sweep import read_axis

from zoo.__main__ import main
from zoo.errors import ConfigError


def test_every_combination_of_values_is_a_run():
    sweep = ["LEARNING_RATE=1e-3,5e-3", "distill.student='gru-S','tcn-S'"]
    cells = cells_of(["distill/a.gin"], instruments=["flute"], bindings=["STEPS=3"], sweep=sweep)
    assert [cell.name for cell in cells][1:3] == [
        "a-flute-LEARNING_RATE=1e-3-student=tcn-S",
        "a-flute-LEARNING_RATE=5e-3-student=gru-S",
    ]
    assert cells[1].bindings[-3:] == ("STEPS=3", "LEARNING_RATE=1e-3", "distill.student='tcn-S'")


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        (["LEARNING_RATE"], "NAME=VALUE"),
        (["SEED=1,1"], "each value once"),
        (["SEED=1,2", "SEED=3"], "more than once"),
        (["LEARNING_RATE=1e-2..1e-3"], "less to more"),
        (["LEARNING_RATE=1e-3..1e-2"], "--search"),
        (["x.y='a b','a_b'"], "same name"),
    ],
)
def test_sweep_that_makes_no_sense_is_refused(sweep, message):
    with pytest.raises(ConfigError, match=message):
        cells_of(["a.gin"], sweep=sweep)


def test_search_goes_on_where_it_was_stopped(tmp_path):
    axes = [read_axis("LEARNING_RATE=1e-4..1e-2 log"), read_axis("SEED=0,1")]

    def search():
        return Search(tmp_path / "search.log", axes, trials=3, objective="validation_loss")

    first = search().next(2)
    assert list(first) == [0, 1]
    assert all(1e-4 <= float(values["LEARNING_RATE"]) <= 1e-2 and values["SEED"] in "01" for values in first.values())
    again = search()
    assert again.next(2) == first, "trials that were running when it was stopped come first"
    again.tell(0, {"validation_loss": 3.0})
    again.tell(1, {})
    with pytest.raises(ConfigError, match="has no number 'validation_loss'"):
        again.tell(next(iter(again.next(1))), {"seconds": 1.0})
    assert list(search().next(5)) == [2]
    assert list(search().ended()) == [0, 1]


def test_search_chooses_the_same_values_wherever_it_was_stopped(tmp_path):
    axes = [read_axis("LEARNING_RATE=1e-4..1e-2 log")]

    def values_of(journal, *, stopped):
        found = []
        for number in range(4):
            if stopped or not number:
                search = Search(tmp_path / journal, axes, trials=4, objective="validation_loss")
            (chosen,) = search.next(1).values()
            found.append(chosen["LEARNING_RATE"])
            search.tell(number, {"validation_loss": 1.0 + number})
        return found

    whole = values_of("whole.log", stopped=False)
    assert len(set(whole)) == 4
    assert values_of("stopped.log", stopped=True) == whole


@pytest.mark.parametrize(
    ("sweep", "objective"),
    [
        (["SEED=0,1,2", "LEARNING_RATE=1e-4..1e-2 log"], "validation_loss"),
        (["SEED=0,1", "LEARNING_RATE=1e-4..1e-2"], "validation_loss"),
        (["SEED=0,1"], "validation_loss"),
        (["SEED=0,1", "LEARNING_RATE=1e-4..1e-2 log"], "student_multi_scale_spectral"),
    ],
)
def test_trials_of_another_search_are_not_taken_for_those_of_this_one(tmp_path, sweep, objective):
    def search(texts, small="validation_loss"):
        return Search(tmp_path / "search.log", [read_axis(text) for text in texts], trials=3, objective=small)

    search(["SEED=0,1", "LEARNING_RATE=1e-4..1e-2 log"]).next(1)
    with pytest.raises(ConfigError, match="has the trials of another search"):
        search(sweep, objective)
    assert list(search(["SEED=0,1", "LEARNING_RATE=1e-3..1e-2 log"]).next(1)) == [0]


def test_search_of_no_trials_is_refused(tmp_path, capsys):
    command = ["grid", "distill/gru-L-to-gru-S.gin", "--set", "DATASET=x", "--sweep", "SEED=0,1", "--search", "0"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert "--search must be a whole number of at least 1" in capsys.readouterr().err


def test_searched_runs_are_in_the_same_table(small_tones, teacher_folder, tmp_path, capsys):
    sets = ["STEPS=2", "BATCH_SIZE=4", f"DATASET='{small_tones.path}'", f"TEACHER='{teacher_folder}'"]
    sets += ["distill.evaluate=False", "distill.student_options={'hidden_size': 8, 'reverb_length': 200}"]
    command = ["grid", "distill/gru-L-to-gru-S.gin", "--out", str(tmp_path / "out"), "--search", "2", "--jobs", "2"]
    command += [word for one in sets for word in ("--set", one)]
    assert main([*command, "--sweep", "LEARNING_RATE=1e-4..1e-2 log"]) == 0
    with (tmp_path / "out" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == ["gru-L-to-gru-S-trial-000", "gru-L-to-gru-S-trial-001"]
    assert rows[0]["LEARNING_RATE"] != rows[1]["LEARNING_RATE"]
    assert all(float(row["validation_loss"]) > 0 for row in rows)
    again = [*command, "--sweep", "LEARNING_RATE=1e-4..1e-2 log", "--set", "BATCH_SIZE=2"]
    assert main(again) == 2
    assert "trial-000 began with other settings: batch_size was 4 and is now 2" in capsys.readouterr().err
