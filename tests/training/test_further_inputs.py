"""A third input of a decoder, from the recordings through training and files to what is played."""

from dataclasses import replace

import pytest
import torch
from made_recordings import Notes
from velocity_decoder import VelocityDecoder

import zoo
from zoo.__main__ import main
from zoo.bench.cost import measure_cost
from zoo.bench.playing import ENGINES, measure_playing
from zoo.commands.synth import main as synth
from zoo.datasets import Preparation, open_dataset, prepare_dataset
from zoo.errors import ConfigError
from zoo.features import FeatureSettings
from zoo.losses.audio import Reconstruction
from zoo.losses.function_matching import FunctionMatching
from zoo.storage.config import ComponentConfig, ModelConfig, read_config
from zoo.storage.golden import golden_difference, read_golden
from zoo.training import DistillConfig, TrainConfig, distill, evaluate, train


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
def test_named_input_goes_from_recordings_to_sound(tmp_path, small_tones, caplog):
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

    with pytest.raises(ConfigError, match=r"The teacher struck-S-piano is driven by velocity too"):
        distill(replace(pair, student="gru-S", dataset=str(small_tones.path)), out=tmp_path / "no")
    plain = zoo.create("gru-S", instrument="piano", hidden_size=4)
    plain.config = plain.config.with_changes(lineage=read_config(tmp_path / "run").lineage)
    zoo.save(plain, tmp_path / "plain")
    summary = evaluate(str(tmp_path / "plain"), data=str(small_tones.path), pitch="yin", max_segments=1)
    assert set(summary) == {"student", "noise_floor"}
    assert "The teacher is left out. The teacher struck-S-piano is driven by velocity too" in caplog.text

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


@pytest.mark.usefixtures("struck")
def test_model_with_a_further_input_is_halved_and_its_cost_measured(tmp_path):
    model = zoo.create("struck-S", instrument="piano").eval()
    zoo.save(model, tmp_path / "run")
    assert main(["half", str(tmp_path / "run"), str(tmp_path / "half")]) == 0
    cost = measure_cost(model, batch_size=2, seconds=0.5, steps=1)
    assert min(cost.training_step, *cost.block_seconds.values()) > 0
    assert [timing.engine for timing in measure_playing(model, engines=ENGINES, blocks=3)] == list(ENGINES)
