import pytest
import torch
from flat_calls import train

from zoo.models.creating import create
from zoo.training import config
from zoo.training.checkpoints import read_history
from zoo.training.config import resolve_precision
from zoo.training.fit import graph_decoder

SMALL = {"hidden_size": 8, "reverb_length": 200}


@pytest.mark.parametrize(
    ("amx", "parameters", "wanted"),
    [
        (True, 4_000_000, "bf16-mixed"),
        (True, 400_000, "bf16-mixed"),
        (True, 40_000, "32-true"),
        (False, 4_000_000, "32-true"),
    ],
)
def test_auto_takes_bfloat16_for_large_networks_where_the_processor_has_it(monkeypatch, amx, parameters, wanted):
    monkeypatch.setattr(config, "has_bfloat16", lambda: amx)
    assert resolve_precision("auto", "cpu", parameters) == wanted
    assert resolve_precision("32-true", "cpu", parameters) == "32-true"


def test_bfloat16_that_is_emulated_is_warned_of(monkeypatch, caplog):
    monkeypatch.setattr(config, "has_bfloat16", lambda: False)
    assert resolve_precision("bf16-mixed", "cpu", 1) == "bf16-mixed"
    assert "by way of float32" in caplog.text


def test_bfloat16_trains_about_as_float32_does(small_tones, tmp_path):
    options = {"model": "gru-S", "model_options": SMALL, "dataset": small_tones.path, "steps": 3, "batch_size": 4}
    options |= {"evaluate": False, "progress": False, "accelerator": "cpu", "validate_every": 3}
    wide, narrow = (
        train(**options, precision=precision, out=tmp_path / precision).folder
        for precision in ("32-true", "bf16-mixed")
    )
    for a, b in zip(read_history(wide / "history.csv"), read_history(narrow / "history.csv"), strict=True):
        assert b["val_loss"] == pytest.approx(a["val_loss"], rel=2e-2)
    state = torch.load(narrow / "checkpoints" / "last.ckpt", weights_only=True)
    assert all(value.dtype == torch.float32 for value in state["model"].values())


def test_graphs_need_a_gpu():
    with pytest.raises(ValueError, match="needs a CUDA device"):
        graph_decoder(create("gru-S", hidden_size=4), batch_size=2, frames=10)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["gru-S", "tcn-S", "s4-S", "s4d-S"])
def test_graphed_decoder_gives_what_the_plain_one_gives(name):
    torch.manual_seed(0)
    plain = create(name).cuda().train()
    for module in plain.modules():
        if hasattr(module, "p"):
            module.p = 0.0
    graphed = create(name).cuda().train()
    graphed.load_state_dict(plain.state_dict())
    for module in graphed.modules():
        if hasattr(module, "p"):
            module.p = 0.0
    graph_decoder(graphed, batch_size=4, frames=100)
    for seed in range(3):
        torch.manual_seed(seed)
        features = [torch.rand(4, 100, device="cuda") for _ in range(2)]
        found = []
        for model in (plain, graphed):
            model.zero_grad()
            made = model.decoder(*features)
            sum(control.square().mean() for control in made.controls.values()).backward()
            found.append((made, [p.grad.clone() for p in model.decoder.parameters()]))
        for control, value in found[0][0].controls.items():
            torch.testing.assert_close(found[1][0].controls[control], value)
        for a, b in zip(found[0][1], found[1][1], strict=True):
            torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-5)
    assert set(graphed.state_dict()) == set(plain.state_dict())
    graphed.eval()(torch.full((1, 7), 440.0, device="cuda"), torch.full((1, 7), -20.0, device="cuda"))
