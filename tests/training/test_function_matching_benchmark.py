"""The page that says what function matching does, made from two small runs."""

import importlib
from pathlib import Path

import pytest
from flat_calls import distill, train

from zoo.datasets.tones import tones
from zoo.features import write_wav
from zoo.losses.distillation import FunctionMatching, Reconstruction

CHECKOUT = Path(__file__).parents[2]
SMALL = {"hidden_size": 4, "reverb_length": 200}


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(CHECKOUT / "benchmarks")
    return importlib.import_module("function_matching")


@pytest.fixture
def phrases(tmp_path):
    (audio,) = (recording.load(16000) for recording in tones(phrases=1, seconds=2.0))
    write_wav(tmp_path / "phrases" / "oboe" / "a.wav", 0.2 * audio, sample_rate=16000)
    return tmp_path / "phrases"


def test_runs_with_and_without_the_loss_are_told_apart(
    benchmark, phrases, small_tones, teacher_folder, tmp_path, capsys
):
    options = {"dataset": small_tones.path, "steps": 1, "batch_size": 2, "progress": False, "accelerator": "cpu"}
    for name, losses, seed in (("a", [], 0), ("b", [], 1), ("c", [FunctionMatching()], 0)):
        distill(
            student="gru-S",
            student_options=SMALL,
            teacher=str(teacher_folder),
            losses=[Reconstruction(), *losses],
            seed=seed,
            out=tmp_path / name,
            **options,
        )
    runs = [str(tmp_path / name) for name in "abc"]
    given = ["--phrases", str(phrases), "--data", str(small_tones.path), "--out", str(tmp_path / "page.md")]
    assert benchmark.main([*runs, *given]) == 0
    without, matched = (tmp_path / "page.md").read_text().splitlines()[-2:]
    assert without.startswith("| gru-S-tones | no | 2 | ")
    assert matched.startswith("| gru-S-tones | 1 | 1 | ")
    assert without.count(" ± ") == 3
    capsys.readouterr()
    alone = train(model="gru-S", model_options=SMALL, out=tmp_path / "alone", **options).folder
    assert benchmark.main([str(alone), *given]) == 2
    assert "it has no teacher to be compared with" in capsys.readouterr().err
