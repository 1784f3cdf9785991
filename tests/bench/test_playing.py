import pytest

import zoo
from zoo.__main__ import main
from zoo.bench.playing import measure_playing, playing_table


@pytest.fixture(scope="module")
def model():
    return zoo.create("gru-S", hidden_size=4, harmonics=4, noise_bands=9, reverb_length=0).eval()


def test_player_library_and_torch_are_timed_beside_each_other(model):
    player, torch = measure_playing(model, engines=("player", "torch"), blocks=40)
    assert (player.engine, torch.engine) == ("player", "torch")
    assert 0 < player.median <= player.late
    assert player.median < torch.median
    assert player.duration == pytest.approx(0.004)
    assert player.memory_bytes > 1000


def test_paced_blocks_begin_when_they_are_due(model):
    import time

    began = time.perf_counter()
    measure_playing(model, engines=("player",), blocks=40, frames=4, paced=(True,))
    assert time.perf_counter() - began > 49 * 0.016


def test_voices_and_weights_are_told_apart(model):
    timings = measure_playing(model, engines=("player",), weights=("float32", "int8"), voices=3, blocks=5)
    assert [timing.engine for timing in timings] == ["player", "player, int8"]
    assert playing_table(timings)[2][:5] == ("gru-S", "player, int8", "3", "1", "at once")


def test_bench_tells_what_playing_takes(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("zoo.bench.playing.usable_engines", lambda: ("player",))
    table = tmp_path / "playing.md"
    assert main(["bench", "gru-M-tones", "--playing", "--voices", "2", "--markdown", str(table)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [["gru-M-tones", "player", "2", size] for size in "1188"]
    assert "| gru-M-tones | player |" in table.read_text()
    assert main(["bench", "gru-M-tones", "--playing", "--voices", "0"]) == 2
