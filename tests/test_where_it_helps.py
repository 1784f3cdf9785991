"""`benchmarks/where_it_helps.py`: what is measured of runs, and the page made from it."""

import importlib
import json
import math
import shutil
from pathlib import Path

import pytest
import torch

import zoo
from zoo.errors import ConfigError
from zoo.features.audio import write_wav

CHECKOUT = Path(__file__).parent.parent


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(CHECKOUT / "benchmarks")
    return importlib.import_module("where_it_helps")


def test_run_is_measured_beside_its_teacher(benchmark, tmp_path):
    run = tmp_path / "comparison" / "distilled-seed0"
    shutil.copytree(CHECKOUT / "model_cards" / "gru-S-flute", run)
    history = "step,epoch,train_loss,val_loss,lr,seconds,reconstruction\n0,0,,20,0.001,0,20\n100,1,6,6,0.001,50,5.5\n"
    (run / "history.csv").write_text(history)
    time = torch.arange(24_000) / 16_000
    (tmp_path / "phrases" / "violin").mkdir(parents=True)
    tone = sum(0.2 / k * torch.sin(2 * math.pi * 440 * k * time) for k in (1, 2, 3))
    write_wav(tmp_path / "phrases" / "violin" / "a.wav", tone, sample_rate=16_000)
    out = tmp_path / "lines.jsonl"
    command = ["measure", str(tmp_path / "comparison"), "--phrases", str(tmp_path / "phrases"), "--lines", str(out)]
    for _ in range(2):  # the second time there is nothing left to do
        benchmark.main(command)
    lines = {line["architecture"]: line for line in map(json.loads, out.read_text().splitlines())}
    assert set(lines) == {"gru-L", "gru-S"}
    assert lines["gru-S"]["taught_by"] == lines["gru-L"]["weights"]
    assert lines["gru-L"]["own"]["from_teacher"] == 0 < lines["gru-S"]["own"]["from_teacher"]
    assert lines["gru-S"]["own"]["phrase_cents"] < 20
    assert lines["gru-S"]["curve"] == [[0, 20], [100, 5.5]]


def test_levels_of_harmonics_are_those_of_the_sound(benchmark):
    class Organ:
        sample_rate, hop = 16_000, 64

        def __call__(self, f0_hz, loudness_db, noise):
            time = torch.arange(noise.shape[1]) / self.sample_rate
            sound = sum(10.0**-k * torch.cos(2 * math.pi * k * f0_hz[:, :1] * time) for k in (1, 2))
            return zoo.Rendering(sound, sound, None, None, {}, torch.empty(0), {})

    levels = benchmark.harmonic_levels(Organ(), [69.0, 100.0], -30.0)
    assert levels[0, :2].tolist() == pytest.approx([-20, -40], abs=0.1)
    assert levels[0, 2:].max() < -75
    assert levels[1, 2:].isnan().all()  # over 0.45 of the sample rate


def line(system, seed, value, *, minutes, minutes_seed=None):
    name = {"teacher": "gru-L", "student": "gru-S", "baseline": "gru-S"}[system]
    weights = "t" if system == "teacher" else f"{system}{seed}{minutes}{minutes_seed}"
    return {
        "architecture": name,
        "instrument": "flute",
        "teacher": {"name": "gru-L-flute", "weights": "t"} if system == "student" else None,
        "seed": seed,
        "steps": 600,
        "minutes": minutes,
        "minutes_seed": minutes_seed,
        "weights": weights,
        "taught_by": "t",
        "metrics": {"multi_scale_spectral": [value, 0.1, 5]},
        "own": {"from_teacher": 0.0 if system == "teacher" else value, "roughness_db": 0.1, "phrase_cents": 3.0},
        "curve": [[0, 20.0], [100, value]],
    }


def test_page_says_how_much_of_which_gap_is_closed(benchmark, tmp_path):
    lines = [line("teacher", 0, 5.0, minutes=8.1)]
    for minutes, baseline, student in ((0.26, 8.0, 6.0), (1.03, 6.0, 5.5), (8.1, 5.2, 5.2)):
        for seed in range(3):
            lines.append(line("baseline", seed, baseline + 0.1 * seed, minutes=minutes))
            lines.append(line("student", seed, student + 0.1 * seed, minutes=minutes))
    for seed in (1, 2):  # of the recordings that seed 0 drew
        lines.append(line("baseline", seed, 8.0, minutes=0.26, minutes_seed=0))
        lines.append(line("student", seed, 6.5, minutes=0.26, minutes_seed=0))
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    benchmark.main(["page", "--lines", str(tmp_path / "lines.jsonl"), "--out", str(tmp_path / "page.md")])
    text = (tmp_path / "page.md").read_text()
    rows = [row for row in text.splitlines() if row.startswith("| flute")]
    cells = [cell.strip() for cell in rows[0].split("|")]
    assert cells[3:8] == ["0.25", "600", "8.1 ± 0.1", "6.1 ± 0.1", "5 ± 0"]
    assert cells[8] == "31.0"
    assert cells[9].startswith("65")
    cells = [cell.strip() for cell in rows[1].split("|")]
    assert cells[3:7] == ["0.25, the same", "600", "8 ± 0", "6.33 ± 0.29"]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [
        "where-it-helps-minutes.png",
        "where-it-helps-steps.png",
    ]
    assert all(f"({path.name})" in text for path in tmp_path.glob("*.png"))


def test_two_runs_of_one_seed_are_refused(benchmark):
    lines = [line("teacher", 0, 5.0, minutes=8.1), line("student", 0, 6.0, minutes=8.1)]
    other = {**lines[1], "weights": "s2", "taught_by": "t2", "teacher": {"name": "gru-M-flute", "weights": "t2"}}
    with pytest.raises(ConfigError, match=r"two student runs of gru-S on flute, 8 minutes and 600 steps, with seed 0"):
        benchmark.groups([*lines, other])
