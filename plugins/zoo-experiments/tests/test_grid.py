import csv
import shutil

import pytest
from zoo_experiments.grid import _collect, _results_when_stopped, cells_of

from zoo.__main__ import main
from zoo.errors import ConfigError
from zoo.training.run_folder import clear_done

SMALL = "distill.student_options={'hidden_size': 8, 'reverb_length': 200}"
QUICK = ("STEPS=2", "BATCH_SIZE=4", "distill.evaluate=True", SMALL)


def test_cells_are_recipes_on_instruments():
    cells = cells_of(
        ["distill/a.gin", "b.gin"],
        instruments=["flute", "trumpet"],
        data="d/{instrument}",
        only={"b.gin": ["trumpet"]},
        bindings=["STEPS=3"],
    )
    assert [cell.name for cell in cells] == ["a-flute", "a-trumpet", "b-trumpet"]
    assert cells[1].bindings == ("INSTRUMENT='trumpet'", "DATASET='d/trumpet'", "STEPS=3")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipes": []}, "empty"),
        ({"recipes": ["x/a.gin", "y/a.gin"]}, "more than once"),
        ({"recipes": ["a.gin"], "only": {"b.gin": []}}, r"names b\.gin"),
    ],
)
def test_grid_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        cells_of(**options)


def test_shipped_grid_is_the_thesis_one(tmp_path):
    from zoo_experiments.grid import _runs, cells_of
    from zoo_experiments.grid_command import _wanted

    wanted = _wanted(["grid/thesis.gin"])
    steps = {run.name: run.steps for run in _runs(cells_of(**wanted), tmp_path)}
    assert len(steps) == 18
    assert {"gru-L-to-gru-M-flute", "s4-L-to-s4-S-trumpet"} <= set(steps)
    assert set(steps.values()) == {120_000}


def test_grid_runs_what_can_run_and_names_what_cannot(small_tones, teacher_folder, tmp_path, capsys):
    bad = tmp_path / "bad.gin"
    bad.write_text("include 'distill/gru-L-to-gru-S.gin'\nTEACHER = 'nowhere'\n")
    sets = [word for binding in (*QUICK, f"DATASET='{small_tones.path}'") for word in ("--set", binding)]
    good = tmp_path / "good.gin"
    good.write_text(f"include 'distill/gru-L-to-gru-S.gin'\nTEACHER = '{teacher_folder}'\n")
    out = tmp_path / "grid"
    command = ["grid", str(good), str(bad), "--out", str(out), "--jobs", "2", *sets]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "1 of 2 runs failed" in said
    assert "nowhere" in said
    assert "\x1b" not in said
    with (out / "results.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["run"] == "good"
    assert row["student"] == "gru-S"
    assert row["teacher"] == "tcn-S-tones"
    assert float(row["student_multi_scale_spectral"]) > float(row["noise_floor_multi_scale_spectral"])
    assert (out / "results.md").read_text().count("\n| good | ") == 1
    # the other failed after a validation now, as one that diverges does
    shutil.copytree(out / "good", out / "bad")
    clear_done(out / "bad")
    assert [row.name for row in _collect(cells_of([str(good), str(bad)]), out)] == ["good"]
    (out / "results.csv").unlink()
    with pytest.raises(KeyboardInterrupt), _results_when_stopped(cells_of([str(good), str(bad)]), out):
        raise KeyboardInterrupt
    assert [row["run"] for row in csv.DictReader((out / "results.csv").open())] == ["good"]
    # once more without the one that cannot run: what is done is left alone
    weights = (out / "good" / "model.safetensors").stat().st_mtime_ns
    assert main(["grid", str(good), "--out", str(out), *sets]) == 0
    assert "| good |" in capsys.readouterr().out
    assert (out / "good" / "model.safetensors").stat().st_mtime_ns == weights


def test_mistake_in_a_recipe_is_told_before_anything_runs(tmp_path, capsys):
    assert main(["grid", "distill/gru-L-to-gru-S.gin", "--out", str(tmp_path / "x"), "--set", "STEP=3"]) == 2
    assert "no gin file has a macro STEP" in capsys.readouterr().err
    assert main(["grid", "train/gru-S.gin", "--out", str(tmp_path / "x"), "--set", "DATASET=x"]) == 2
    assert "distill" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
