"""`benchmarks/thesis_grid.py`: lines of shipped models as runs, and the page made from them."""

import importlib
import json
import shutil
from pathlib import Path

import pytest

from zoo.errors import ConfigError

CHECKOUT = Path(__file__).parent.parent


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(CHECKOUT / "benchmarks")
    return importlib.import_module("thesis_grid")


@pytest.fixture
def runs(tmp_path):
    """A teacher and its student, and that student as a run of its own without a teacher and without its weights."""
    for name in ("gru-L-flute", "gru-S-flute"):
        shutil.copytree(CHECKOUT / "model_cards" / name, tmp_path / "runs" / name)
        history = "step,epoch,train_loss,val_loss,lr,seconds\n0,0,,20.0,0.001,0\n100,1,6.0,6.0,0.001,50.0\n"
        (tmp_path / "runs" / name / "history.csv").write_text(history)
    return tmp_path / "runs"


def test_each_run_gets_one_line_however_often_it_is_collected(benchmark, runs, tmp_path):
    lines = tmp_path / "lines.jsonl"
    assert benchmark.collect([runs], lines) == 2
    assert benchmark.collect([runs, runs / "gru-S-flute"], lines) == 0
    teacher, student = (json.loads(line) for line in lines.read_text().splitlines())
    assert (teacher["architecture"], teacher["teacher"], teacher["instrument"]) == ("gru-L", None, "flute")
    assert student["teacher"]["name"] == "gru-L-flute"
    assert (student["steps"], student["seconds"], student["parameters"]) == (100, 50.0, 41_676)
    assert student["metrics"]["multi_scale_spectral"][0] == pytest.approx(5.52, abs=0.01)


def line(architecture, distance, *, teacher=None, seed=0, weights, reverb="gru-L-weights", instrument="violin"):
    return {
        "architecture": architecture,
        "instrument": instrument,
        "teacher": teacher and {"name": f"{teacher}-{instrument}", "weights": f"{teacher}-weights"},
        "reverb": reverb,
        "seed": seed,
        "steps": 1000,
        "seconds": 60.0,
        "dataset": "d",
        "weights": weights,
        "state": f"{architecture}-weights",
        "machine": "a machine",
        "metrics": {"multi_scale_spectral": [distance, 0.5, 7]},
    }


def test_page_holds_students_against_baseline_and_teacher_and_says_what_is_missing(benchmark):
    lines = [line("gru-L", 5.0, weights="gru-L-weights")]
    for seed in (0, 1):
        lines.append(line("gru-S", 6.0 + 0.02 * seed, seed=seed, weights=f"b{seed}"))
        lines.append(line("gru-S", 5.25 + 0.02 * seed, seed=seed, teacher="gru-L", weights=f"s{seed}"))
    lines.append(line("gru-S", 9.0, seed=2, weights="with another reverb", reverb="other"))
    page = benchmark.page(lines)
    assert "| gru-L | gru-S | violin | 6.01 ± 0.014 | 5.26 ± 0.014 | 5 | 74 ± 1 % |" in page
    assert "| gru-L | gru-S | violin | 2 | 1,000 | 1 min 0 s | 1 min 0 s | 1 min 0 s | - |" in page
    assert "`gru-L` to `gru-S` (flute, trumpet);" in page.replace("\n", " ")
    assert "6 runs, 6 min 0 s" in page
    assert "1 of 45 rows are whole" in page


def test_two_runs_of_one_seed_are_refused(benchmark):
    lines = [line("gru-L", 5.0, weights="gru-L-weights")]
    lines += [line("gru-S", distance, teacher="gru-L", weights=f"s{distance}") for distance in (5.2, 5.6)]
    with pytest.raises(ConfigError, match=r"two student runs of gru-L to gru-S on violin, with seed 0"):
        benchmark.page(lines)


@pytest.mark.parametrize(("teacher", "shown"), [(5.99, "within the noise"), (5.5, "50 %")])
def test_gap_of_one_seed_is_held_against_the_spread_of_the_rows_that_have_several(benchmark, teacher, shown):
    lines = [line("gru-L", 5.0, weights="gru-L-weights")]
    for seed in (0, 1):
        lines.append(line("gru-S", 6.0 + 0.04 * seed, seed=seed, weights=f"b{seed}"))
        lines.append(line("gru-S", 5.2 + 0.04 * seed, seed=seed, teacher="gru-L", weights=f"s{seed}"))
    own = {"instrument": "flute", "reverb": "tcn-L-weights"}
    lines += [
        line("tcn-L", teacher, weights="tcn-L-weights", instrument="flute"),
        line("tcn-S", 6.0, weights="b", **own),
        line("tcn-S", 5.75, weights="s", teacher="tcn-L", **own),
    ]
    assert f"| tcn-L | tcn-S | flute | 6 | 5.75 | {teacher} | {shown} |" in benchmark.page(lines)
