"""`benchmarks/instruments.py` on a model that does not follow, and on what it found of one that does."""

import dataclasses
import importlib
import shutil
from pathlib import Path

import pytest
import torch

import zoo
from zoo.datasets.tones import tones
from zoo.features import FeatureSettings, write_wav
from zoo.metrics import TrackingError

CHECKOUT = Path(__file__).parent.parent
GOOD = TrackingError(
    pitch_cents=3.0,
    pitch_frames=100,
    expected_frames=110,
    heard_frames=400,
    loudness_error_db=2.0,
    loudness_offset_db=-1.0,
    loudness_shape_db=1.5,
    peak=0.5,
    rms=0.1,
)


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(CHECKOUT / "benchmarks")
    return importlib.import_module("instruments")


@pytest.fixture
def choice(benchmark):
    return importlib.import_module("instrument_phrases")


@pytest.fixture
def phrases(tmp_path):
    """Two oboes and a tuba in folders; the tuba's other kind of recording is none of a phrase."""
    recordings = [recording.load(16000) for recording in tones(phrases=3, seconds=2.0)]
    for name, audio in zip(("oboe/phrases/a", "oboe/phrases/b", "tuba/c"), recordings, strict=True):
        write_wav(tmp_path / "phrases" / f"{name}.wav", 0.2 * audio, sample_rate=16000)
    write_wav(tmp_path / "phrases" / "oboe" / "notes" / "d.wav", recordings[0], sample_rate=16000)
    return tmp_path / "phrases"


@pytest.fixture
def untrained(tmp_path):
    features = FeatureSettings(tracker="yin").to_dict()
    return zoo.save(zoo.create("gru-S", instrument="oboe", hidden_size=4, features=features), tmp_path / "run")


def test_phrases_are_found_by_folder_and_by_index(choice, phrases):
    found = choice.phrases_in(phrases)
    assert {name: [path.name for path in paths] for name, paths in found.items()} == {
        "oboe": ["a.wav", "b.wav"],
        "tuba": ["c.wav"],
    }
    index = "path\tinstrument\tkind\noboe/phrases/b.wav\toboe\tphrases\noboe/notes/d.wav\toboe\tnotes\n"
    (phrases / "INDEX.tsv").write_text(index)
    assert choice.phrases_in(phrases) == {"oboe": [phrases / "oboe" / "phrases" / "b.wav"]}


def test_choice_is_spread_evenly_and_the_others_come_after(choice):
    assert choice.in_order_of_choice([*range(6)], 2) == [0, 3, 1, 2, 4, 5]
    assert choice.in_order_of_choice([*range(3)], 5) == [0, 1, 2]


@pytest.mark.parametrize(("median_hz", "octaves"), [(300, 0), (150, 1), (70, 2), (900, -1), (1700, -2)])
def test_phrase_moves_by_octaves_into_the_range(choice, median_hz, octaves):
    f0_hz = torch.tensor([0.0, median_hz - 1, median_hz, median_hz + 1])
    assert choice.octaves_into(f0_hz, 220.0, 800.0) == octaves


def test_socket_that_is_asked_for_is_refused_and_told(benchmark):
    import socket

    with benchmark.no_sockets() as attempts, pytest.raises(OSError, match="no network"):
        socket.create_connection(("localhost", 1))
    assert len(attempts) == 1


def test_untrained_model_fails_and_the_page_says_in_what(benchmark, phrases, untrained, small_tones, tmp_path, capsys):
    page = tmp_path / "models.md"
    words = [str(untrained), "--phrases", str(phrases), "--data", str(small_tones.path), "--out", str(page)]
    assert benchmark.main([*words, "--seconds", "1.5"]) == 1
    said = capsys.readouterr().out
    assert "gru-S-oboe: 1 phrases" in said
    assert "gru-S-oboe: resynthesis: the distance is 1.00 of the untrained model's, 0.6 is the limit" in said
    text = page.read_text()
    assert "instruments.py run --phrases PHRASES --data DATA --seconds 1.5" in text
    assert str(tmp_path) not in text
    tables = [line for line in text.splitlines() if line.startswith("| gru-S-oboe |")]
    assert len(tables) == 3
    assert "- gru-S-oboe was resynthesised from other data than it was trained with." in text
    assert "- gru-S-oboe fails: resynthesis: the distance is 1.00" in text


def test_model_that_passes_all_checks_is_tabulated_so(benchmark, tmp_path):
    tables = importlib.import_module("instrument_tables")
    folder = tmp_path / "run"
    shutil.copytree(CHECKOUT / "model_cards" / "gru-M-tones", folder)
    known, trained = benchmark.describe_folder(folder), benchmark.result_of(folder, name="gru-M-tones")
    played = [benchmark.Played("oboe", Path("a.wav"), 0, GOOD)]
    found = benchmark.Instrument(
        "gru-M-tones", folder, known, trained, played, benchmark.Resynthesis(2.0, 8.0, 4, "test")
    )
    assert found.failures() == []
    (row,) = tables.checks_table([found]).splitlines()[2:]
    assert row == (
        "| gru-M-tones | 1 | 3.0 | 3.0 | 91 % | 2.0 | 2.0 | -1.0 | 1.5 | -6.0 | 2.000 | 8.000 | 0.25 | passed |"
    )
    assert tables.remarks([found]) == "All checks passed."
    (row,) = tables.training_table([found]).splitlines()[2:]
    assert row.startswith("| gru-M-tones | 437,212 | 1.75 | tones |  | 2,000 (2,000) | 24 min 48 s |  | 4.52 ± 0.23 |")


def test_an_update_keeps_other_models_and_a_resynthesis_whose_data_is_gone(benchmark, tmp_path):
    tables = importlib.import_module("instrument_tables")
    options = benchmark.parser_of().parse_args(["--phrases", "phrases", "--update"])

    def found_of(name, pitch_cents, again):
        shutil.copytree(CHECKOUT / "model_cards" / "gru-M-tones", tmp_path / name, dirs_exist_ok=True)
        known, trained = (read(tmp_path / name) for read in (benchmark.describe_folder, _result(benchmark, name)))
        following = dataclasses.replace(GOOD, pitch_cents=pitch_cents)
        played = [benchmark.Played("oboe", Path("a.wav"), 0, following)]
        return benchmark.Instrument(name, tmp_path / name, known, trained, played, again)

    again = benchmark.Resynthesis(2.0, 8.0, 4, "test", note="other data")
    first = [found_of("s4-S-b", 30.0, again), found_of("gru-S-a", 40.0, again)]
    before = tables.page(first, options, benchmark.LIMITS)
    second = [found_of("gru-S-a", 3.0, None), found_of("gru-M-c", 50.0, None)]
    text = tables.updated(before, tables.page(second, options, benchmark.LIMITS), second)
    rows = [line for line in text.splitlines() if line.startswith(("| gru-S-a", "| gru-M-c", "| s4-S-b"))]
    checks = [row for row in rows if row.endswith(("passed |", "failed |"))]
    assert [row.split(" | ")[0] for row in checks] == ["| gru-M-c", "| gru-S-a", "| s4-S-b"]
    assert " 3.0 | 3.0 | " in checks[1]
    assert checks[1].endswith("| 2.000 | 8.000 | 0.25 | passed |")
    assert " 30.0 | 30.0 | " in checks[2]
    assert checks[2].endswith("1 failed |")
    remarks = [line for line in text.splitlines() if line.startswith("- ")]
    assert [line.split()[1] for line in remarks] == ["gru-M-c", "gru-S-a", "s4-S-b", "s4-S-b"]
    assert len([row for row in rows if "4.52 ± 0.23" in row]) == 3


def _result(benchmark, name):
    return lambda folder: benchmark.result_of(folder, name=name)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rms": 1e-4}, "is silent (RMS -80.0 dBFS, -60 is the least)"),
        ({"peak": 1.0}, "clips (peak +0.0 dBFS)"),
        ({"pitch_frames": 19}, "has pitch in 19 of 110 frames, 20 are the least"),
        ({"pitch_cents": 20.0}, "is 20.0 cents from the pitch, 20 is the limit"),
        ({"loudness_error_db": 6.5}, "is 6.5 dB from the loudness (-1.0 dB in the median), 6 is the limit"),
        ({"loudness_error_db": float("nan")}, "is nan dB from the loudness (-1.0 dB in the median), 6 is the limit"),
    ],
)
def test_every_check_of_a_phrase_can_fail(benchmark, changes, said):
    played = benchmark.Played("oboe", Path("a.wav"), 0, dataclasses.replace(GOOD, **changes))
    assert played.failures() == [f"oboe a: {said}"]
