"""Every component that zoo registers passes the checks that plugins' tests call, and none is lost unnoticed."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from zoo import registry, testing

COMMITTED = Path(__file__).parents[1] / "registered_names.json"

# Smaller than by default, so that the checks are quick; a component that is not here is checked as it is.
OPTIONS = {
    "gru": {"hidden_size": 12},
    "s4": {"model_size": 8, "blocks": 2, "kernel_frames": 100},
    "s4d": {"model_size": 8, "blocks": 2},
    "tcn": {"input_size": 4, "channels": 8, "output_size": 8, "blocks": 3},
    "torchcrepe": {"model": "tiny"},
    "f0_error_cents": {"tracker": "yin", "every": 1},
}
# Of each preset the decoder's widest layers are narrowed, its structure stays.
WIDTHS = ("hidden_size", "model_size", "channels", "output_size", "input_size")


@pytest.fixture
def recordings(tmp_path):
    """Files of another rate than the one that is asked for, one of them stereo, one laid out as URMP's."""
    tone = 0.3 * np.sin(2 * np.pi * 330 * np.arange(22050) / 44100)
    names = (
        "a.wav",
        "inside/b.flac",
        "01_Piece_vn_fl/AuSep_1_vn_01_Piece.wav",
        "01_Piece_vn_fl/AuSep_2_fl_01_Piece.wav",
    )
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, np.stack([tone, tone], 1) if name == "a.wav" else tone, 44100)
    return tmp_path


def own(kind):
    return [name for name in kind if kind.entry(name).distribution == registry.OWN_DISTRIBUTION]


@pytest.mark.parametrize("name", own(registry.decoders))
def test_decoder_keeps_its_promises(name):
    testing.check_decoder(name, options=OPTIONS.get(name))


@pytest.mark.parametrize("name", own(registry.synths))
def test_synth_keeps_its_promises(name):
    testing.check_synth(name, options=OPTIONS.get(name))


@pytest.mark.parametrize("options", [{"unvoiced": "hold"}, {"harmonics": 5, "noise_bands": 9, "reverb_length": 50}])
def test_synth_keeps_its_promises_with_other_options(options):
    testing.check_synth("harmonic_noise", options=options, sample_rate=48000, hop=192)


@pytest.mark.parametrize("name", own(registry.losses))
def test_loss_keeps_its_promises(name):
    testing.check_loss(name, options=OPTIONS.get(name))


# frechet_audio_distance is checked with a network, beside its own tests.
@pytest.mark.parametrize("name", [name for name in own(registry.metrics) if name != "frechet_audio_distance"])
def test_metric_keeps_its_promises(name):
    testing.check_metric(name, options=OPTIONS.get(name))


@pytest.mark.parametrize("name", own(registry.pitch))
def test_pitch_tracker_keeps_its_promises(name):
    testing.check_pitch(name, options=OPTIONS.get(name))


@pytest.mark.parametrize("name", own(registry.loudness))
def test_loudness_keeps_its_promises(name):
    testing.check_loudness(name)


@pytest.mark.parametrize("name", own(registry.models))
def test_model_keeps_its_promises(name):
    sizes = registry.models.get(name)().decoder.args
    testing.check_model(name, options={option: min(sizes[option], 16) for option in WIDTHS if option in sizes})


def test_dataset_tones_keeps_its_promises():
    testing.check_dataset("tones", options={"phrases": 4, "seconds": 1.0})


def test_dataset_folder_keeps_its_promises(recordings):
    testing.check_dataset("folder", recordings)


def test_dataset_urmp_keeps_its_promises(recordings):
    testing.check_dataset("urmp", recordings)


def test_dataset_notes_keeps_its_promises(tmp_path):
    time = np.arange(22050) / 44100
    for hz in (330, 370, 440):
        soundfile.write(tmp_path / f"{hz}.wav", 0.3 * np.sin(2 * np.pi * hz * time), 44100)
    testing.check_dataset("notes", tmp_path, options={"uses": 1, "shortest": 1.0, "longest": 4.0})


def test_dataset_takes_keeps_its_promises(tmp_path):
    time = np.arange(22050) / 44100
    for hz in (330, 370, 440):
        soundfile.write(tmp_path / f"{hz}.wav", 0.3 * np.sin(2 * np.pi * hz * time), 44100)
    testing.check_dataset("takes", tmp_path, options={"seconds": 1.0})


def test_every_dataset_is_checked():
    assert own(registry.datasets) == ["folder", "notes", "takes", "tones", "urmp"], (
        "a new dataset needs its own test here"
    )


def lost_names(committed, installed):
    return [f"{kind}: {name}" for kind, names in committed.items() for name in names if name not in installed[kind]]


def test_no_registered_name_is_lost_and_new_ones_are_committed():
    committed = json.loads(COMMITTED.read_text())
    installed = {kind: own(known) for kind, known in registry.KINDS.items()}
    assert lost_names(committed, installed) == [], "people's gin files and config.json hold these names"
    assert committed == installed, f"add the new names to {COMMITTED.name}"


def test_check_of_lost_names_can_fail():
    assert lost_names({"decoders": ["gru", "lstm"]}, {"decoders": ["gru"]}) == ["decoders: lstm"]
