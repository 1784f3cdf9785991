import json
import math
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from clips import check_clip

import zoo
from zoo.errors import ConfigError
from zoo.export.base import create
from zoo.export.nn import ABOUT, NNExporter, operators


@pytest.fixture(scope="module")
def file(small, tmp_path_factory):
    return zoo.export(small, "nn", tmp_path_factory.mktemp("nn") / "flute.ts")


def loaded(file, extra=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's, of TorchScript
        return torch.jit.load(str(file), _extra_files=extra)


def tone(samples, f0_hz=440.0):
    """Signals as a host gives them, `[1, 2, samples]`."""
    return torch.tensor([f0_hz, -20.0]).view(1, 2, 1).expand(1, 2, samples).clone()


@torch.inference_mode()  # as nn~ does
def played(instrument, signals, block):
    return torch.cat([instrument(some) for some in signals.split(block, 2)], 2)[0, 0]


def measured_hz(audio, rate, near):
    """The frequency of the highest peak of the spectrum within a semitone."""
    spectrum = torch.fft.rfft(audio.double() * torch.hann_window(len(audio), dtype=torch.float64), 2**20).abs()
    hz = torch.arange(len(spectrum)) * rate / 2**20
    spectrum[(hz < near / 1.06) | (hz > near * 1.06)] = 0
    return float(hz[spectrum.argmax()])


def test_file_follows_the_protocol(file):
    instrument = loaded(file)
    assert instrument.get_methods() == ["forward"]
    assert instrument.forward_params.tolist() == [2, 1, 1, 1]
    assert instrument.forward_input_labels == ["(signal) f0_hz", "(signal) loudness_db"]
    kinds = {1: int, 2: float}
    for name in instrument.get_attributes():
        types = getattr(instrument, f"{name}_params").tolist()
        value = getattr(instrument, f"get_{name}")()
        assert [type(value)] == [kinds[kind] for kind in types]
        assert getattr(instrument, f"set_{name}")(value) == 0
    assert instrument.set_sample_rate(0) == -1
    report = json.loads(file.with_name("flute.ts.export.json").read_text())
    assert report["largest_difference"] < 1e-4
    assert set(report["microseconds_per_block"]) == {"8"}
    about = {ABOUT: ""}
    loaded(file, about)
    assert json.loads(about[ABOUT])["name"] == "gru-S-flute"


@pytest.mark.parametrize("rate", [44100, 48000])
def test_pitch_is_right_at_the_hosts_rate(file, rate):
    instrument = loaded(file)
    assert instrument.set_sample_rate(rate) == 0
    for block in (2048, 8192):
        instrument.reset()
        audio = played(instrument, tone(10 * 8192), block)
        assert len(audio) == 10 * 8192
        heard = audio[instrument.get_latency() + 4096 :]
        assert abs(1200 * math.log2(measured_hz(heard, rate, 440) / 440)) < 1
        spectrum = torch.fft.rfft(heard.double() * torch.hann_window(len(heard), dtype=torch.float64)).abs().square()
        above = spectrum[math.ceil(8600 / rate * len(heard)) :].sum() / spectrum.sum()
        assert above < 1e-5  # what the model cannot have made


def test_blocks_of_any_size_give_the_same(file):
    signals = tone(8192)
    signals[:, 0] *= torch.linspace(1, 2, 8192)
    noise = torch.rand(1, 8192) * 2 - 1  # more than is used up
    made = []
    for block in (64, 1000, 2048, 8192):
        instrument = loaded(file)
        parts = []
        for at, some in enumerate(signals.split(block, 2)):
            with torch.inference_mode():
                parts.append(instrument.play(some, noise if at == 0 else noise[:, :0]))
        made.append(torch.cat(parts, 2))
    for other in made[1:]:
        torch.testing.assert_close(other, made[0], atol=1e-5, rtol=0)
    assert made[0].abs().max() > 1e-4


@torch.no_grad()
def test_clip_is_played_to_its_last_sample(small, file):
    runtime = create("nn", {}).load(file)
    check_clip(runtime, small, frames=296)


def test_one_value_beyond_all_sense_does_not_silence_it_for_ever(file):
    instrument = loaded(file)
    wrong = tone(2048)
    wrong[:, 1] = 1e22
    played(instrument, wrong, 2048)
    audio = played(instrument, tone(40960), 2048)[8192:]
    assert torch.isfinite(audio).all()
    assert audio.abs().max() > 1e-4
    assert instrument.set_sample_rate(2**62) == -1


def test_file_holds_no_path_of_this_machine(file):
    with zipfile.ZipFile(file) as records:
        content = b"".join(map(records.read, records.namelist()))
    for place in (Path(zoo.__file__).parent, Path(torch.__file__).parent, Path.home()):
        assert str(place).encode() not in content


def test_host_can_transpose_and_change_the_loudness(file):
    instrument = loaded(file)
    instrument.set_transpose(12.0)
    audio = played(instrument, tone(40960), 2048)[8192:]
    assert abs(measured_hz(audio, 48000, 880) - 880) < 1
    instrument.set_loudness_shift_db(-1000.0)
    instrument.reset()
    assert instrument.get_transpose() == 12.0
    assert not torch.allclose(played(instrument, tone(40960), 2048)[8192:], audio)


def test_third_partys_decoder_needs_nothing_more(struck, tmp_path):
    instrument = loaded(zoo.export(struck, "nn", tmp_path / "struck.ts", frames=2))
    assert instrument.forward_params.tolist() == [3, 1, 1, 1]
    assert instrument.forward_input_labels[2] == "(signal) velocity"
    zoo.export(zoo.create("example-S").eval(), "nn", tmp_path / "example.ts")


@pytest.mark.parametrize("name", [name for name in zoo.list_models() if name.endswith("-S")])
def test_file_needs_no_operator_that_the_torch_of_nn_lacks(name, tmp_path):
    """`benchmarks/exports_old_torch.py` plays new operators in torch 2.5.1, and adds them to the list."""
    NNExporter().write(zoo.create(name).eval(), tmp_path / "model.ts")
    needed = operators(tmp_path / "model.ts")
    assert "aten::sinc(Tensor self) -> Tensor" in needed
    known = Path(__file__).with_name("torch_2_5_operators.txt").read_text().splitlines()
    assert needed - set(known) == set()


def test_several_voices_are_refused(file):
    with pytest.raises(torch.jit.Error, match="one voice"):
        loaded(file)(torch.zeros(2, 2, 64))


def test_export_tells_nothing_but_its_result(small, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zoo.export(small, "nn", tmp_path / "flute.ts")


@pytest.mark.parametrize("options", [{"frames": 0}, {"sample_rate": 12}, {"sample_rate": 768_001}])
def test_what_cannot_be_is_refused(small, options, tmp_path):
    with pytest.raises(ConfigError, match=next(iter(options))):
        zoo.export(small, "nn", tmp_path / "a.ts", **options)
