import csv

import pytest

from zoo.__main__ import main
from zoo.bench.cost import block_seconds, measure_cost, operations_per_second
from zoo.decoders.gru import GRUDecoder
from zoo.models.creating import create
from zoo.storage import checkpoint


def test_operations_of_a_gru_are_two_for_each_weight_and_a_little():
    decoder = GRUDecoder(control_sizes={"amplitude": 1, "noise_bands": 65}, hidden_size=32)
    weights = sum(p.numel() for p in decoder.parameters() if p.ndim == 2)
    found = operations_per_second(decoder, frame_rate=250)
    assert 2 * weights * 250 < found < 2.5 * weights * 250


@pytest.mark.parametrize("name", ["tcn-S", "s4-S", "s4d-S"])
def test_operations_grow_with_the_network(name):
    small = create(name).decoder
    large = create(name.replace("S", "M")).decoder
    assert operations_per_second(large, frame_rate=250) > 3 * operations_per_second(small, frame_rate=250)


class WholeClips(GRUDecoder):
    def stream_state(self, batch):
        raise self._no_streaming()

    def describe(self, program):
        raise NotImplementedError


def test_decoder_without_a_streaming_interface_is_counted_over_a_clip_and_has_no_blocks():
    options = {"control_sizes": {"amplitude": 1}, "hidden_size": 16}
    whole, stepped = (operations_per_second(cls(**options), frame_rate=250) for cls in (WholeClips, GRUDecoder))
    # the compiled recurrence of a clip is not seen by torch
    assert 0.4 * stepped < whole < stepped
    model = create("gru-S", hidden_size=4)
    model.decoder = WholeClips(control_sizes=model.synth.control_sizes, hidden_size=4)
    assert block_seconds(model, 1) is None
    cost = measure_cost(model, training=False)
    assert (cost.block_seconds, cost.training_step) == ({}, None)


def test_bench_prints_a_table_and_writes_the_figures(tmp_path, capsys):
    folder = checkpoint.save(create("gru-S", instrument="flute", hidden_size=4), tmp_path / "run")
    files = ["--csv", str(tmp_path / "x.csv"), "--markdown", str(tmp_path / "x.md")]
    size = ["--batch-size", "2", "--seconds", "0.5", "--steps", "1"]
    assert main(["bench", str(folder), "tcn-S", *files, *size]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "real-time factor" in lines[0]
    with (tmp_path / "x.csv").open() as file:
        first, second = csv.DictReader(file)
    assert first["model"] == str(folder)
    assert int(first["file_bytes"]) == (folder / "model.safetensors").stat().st_size
    assert int(second["parameters"]) == 41160
    assert float(second["block_8_seconds"]) > float(second["block_1_seconds"]) > 0
    assert float(second["training_step_seconds"]) > 0
    assert "| tcn-S | 41,160 |" in (tmp_path / "x.md").read_text()


def test_bench_of_what_is_not_there_says_so(capsys):
    assert main(["bench", "gru-Z"]) == 2
    assert "gru-Z" in capsys.readouterr().err
