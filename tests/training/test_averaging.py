"""The average of the weights over steps, in place of the last ones."""

import pytest
import torch
from flat_calls import train
from safetensors.torch import load_file

from zoo.errors import ConfigError
from zoo.models.creating import create
from zoo.training.fit import average_of

OPTIONS = {"model": "gru-S", "model_options": {"hidden_size": 8, "reverb_length": 50}, "batch_size": 4}
OPTIONS |= {"evaluate": False, "progress": False, "validate_every": 1, "learning_rate": 1e-3}


def state_of(run):
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def test_average_follows_the_weights_at_its_own_pace():
    model = create("gru-S", hidden_size=8, reverb_length=50)
    average = average_of(model, 0.5)
    values = []
    for value in (1.0, 2.0, 6.0, 6.0):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(value)
        average.update_parameters(model)
        values.append(next(average.parameters()).flatten()[0].item())
    # the first counts wholly; then (1 + n) / (10 + n) of the average stay, at most a half: 2/11, 3/12, 4/13
    second = 1 * 2 / 11 + 2 * 9 / 11
    third = second * 3 / 12 + 6 * 9 / 12
    assert values == pytest.approx([1, second, third, third * 4 / 13 + 6 * 9 / 13])


def test_average_is_validated_and_kept_and_training_goes_on_from_the_last_weights(small_tones, tmp_path):
    plain = train(**OPTIONS, dataset=small_tones.path, steps=4, out=tmp_path / "plain")
    done = train(**OPTIONS, dataset=small_tones.path, steps=4, averaging=0.9, out=tmp_path / "averaged")
    state, other = state_of(done.folder), state_of(plain.folder)
    assert all(torch.equal(state["model"][name], value) for name, value in other["model"].items())
    assert done.best_step == 4
    kept = load_file(done.folder / "model.safetensors")
    average = {name.removeprefix("module."): value for name, value in state["average"].items()}
    assert all(torch.equal(value, average[name]) for name, value in kept.items())
    assert any(not torch.equal(value, state["model"][name]) for name, value in kept.items())
    assert done.best_loss != plain.best_loss


def test_resumed_run_has_the_average_of_the_whole(small_tones, tmp_path):
    options = {**OPTIONS, "dataset": small_tones.path, "averaging": 0.9}
    whole = train(**options, steps=4, out=tmp_path / "whole")
    train(**options, steps=2, out=tmp_path / "parts")
    parts = train(**options, steps=4, out=tmp_path / "parts", resume=True)
    for name in ("model", "average"):
        first, second = state_of(whole.folder)[name], state_of(parts.folder)[name]
        assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert (whole.folder / "model.safetensors").read_bytes() == (parts.folder / "model.safetensors").read_bytes()


def test_average_of_one_would_never_move(small_tones, tmp_path):
    with pytest.raises(ConfigError, match="averaging must be a number over 0 and under 1"):
        train(**OPTIONS, dataset=small_tones.path, steps=1, averaging=1.0, out=tmp_path / "run")
