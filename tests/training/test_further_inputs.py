"""A third input of a decoder, from the recordings through training and files to what is played."""

import pytest
import torch
from made_recordings import Notes
from velocity_decoder import VelocityDecoder

import zoo
from zoo.commands.synth import main as synth
from zoo.datasets import Preparation, open_dataset, prepare_dataset
from zoo.errors import ConfigError
from zoo.features import FeatureSettings
from zoo.losses.audio import Reconstruction
from zoo.losses.function_matching import FunctionMatching
from zoo.storage.config import ComponentConfig, ModelConfig
from zoo.storage.golden import golden_difference, read_golden
from zoo.training import DistillConfig, TrainConfig, distill, train


class Struck(Notes):
    """A note with the velocity of its key."""

    def known_inputs(self, sample_rate, hop):
        return {"velocity": torch.linspace(0, 1, len(self.load(sample_rate)) // hop)}


@pytest.fixture
def struck():
    def preset():
        parts = ComponentConfig("velocity", {}), ComponentConfig("harmonic_noise", {"reverb_length": 0})
        return ModelConfig(architecture="struck-S", decoder=parts[0], synth=parts[1])

    zoo.register.decoder("velocity")(VelocityDecoder)
    zoo.register.model("struck-S")(preset)
    yield
    zoo.registry.decoders.unregister("velocity")
    zoo.registry.models.unregister("struck-S")


@pytest.mark.usefixtures("struck")
def test_named_input_goes_from_recordings_to_sound(tmp_path, small_tones):
    quick = Preparation(segment_seconds=1.0, features=FeatureSettings(tracker="yin"))
    recordings = [Struck(name, instrument="piano", notes=((4.0, 220.0 + 40 * i),)) for i, name in enumerate("abcdef")]
    prepare_dataset(recordings, tmp_path / "data", quick, name="struck")
    assert open_dataset(tmp_path / "data").inputs == ("velocity",)
    settings = {"dataset": str(tmp_path / "data"), "steps": 3, "batch_size": 4}
    with pytest.raises(ConfigError, match=r"driven by velocity too, and the dataset .* has nothing beside"):
        train(TrainConfig(model="struck-S", **settings | {"dataset": str(small_tones.path)}), out=tmp_path / "no")

    train(TrainConfig(model="struck-S", losses=[Reconstruction()], **settings), out=tmp_path / "teacher")
    losses = [Reconstruction(), FunctionMatching()]
    pair = DistillConfig(teacher=str(tmp_path / "teacher"), student="struck-S", losses=losses, **settings)
    distill(pair, out=tmp_path / "run")

    model = zoo.load(tmp_path / "run")
    golden = read_golden(tmp_path / "run")
    assert golden_difference(model, golden) < golden.tolerance
    assert set(golden.inputs) == {"velocity"}

    audio = [
        model.synthesize(
            torch.zeros(16000) + 0.1 * torch.sin(torch.arange(16000) / 6),
            sample_rate=16000,
            pitch="yin",
            level="normalised",
            inputs={"velocity": v},
        )
        for v in (0.0, 1.0, torch.zeros(250))
    ]
    assert not torch.equal(audio[0], audio[1])
    assert torch.equal(audio[0], audio[2])
    with pytest.raises(ValueError, match="missing: velocity"):
        model.synthesize(torch.rand(16000), sample_rate=16000, pitch="yin")

    assert synth([str(tmp_path / "run"), "demo", str(tmp_path / "out.wav"), "--input", "velocity=0.8"]) == 0
    with pytest.raises(ConfigError, match=r"needs --input velocity=0\.5"):
        synth([str(tmp_path / "run"), "demo", str(tmp_path / "out.wav")])
