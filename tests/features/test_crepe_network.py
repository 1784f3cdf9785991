import sys
import types

import pytest
import torch

from zoo.features.crepe import read_network
from zoo.features.crepe_network import SpectralCrepe


@pytest.fixture
def torchcrepe(monkeypatch):
    """The package itself, whatever the state of torchaudio, which it imports and does not need here."""
    monkeypatch.setitem(sys.modules, "torchaudio", types.ModuleType("torchaudio"))
    return pytest.importorskip("torchcrepe")


@pytest.mark.parametrize("model", ["tiny", "full"])
def test_network_gives_what_torchcrepes_layers_give(model, torchcrepe):
    with torch.random.fork_rng():
        torchcrepe.load.model("cpu", model)
    reference = torchcrepe.infer.model.eval()
    torch.manual_seed(0)
    time = torch.arange(1024) / 16000
    windows = torch.stack([torch.sin(2 * torch.pi * f0 * time) for f0 in (82.0, 220.0, 441.0, 1300.0)])
    windows = torch.cat(
        [windows, torch.randn(7, 1024), torch.zeros(1, 1024)]
    )  # more than one block, and not whole ones
    windows = (windows - windows.mean(-1, keepdim=True)) / windows.std(-1, keepdim=True).clamp(min=1e-10)
    with torch.no_grad():
        expected = reference(windows)
    network = read_network(model)
    torch.testing.assert_close(network(windows), expected, atol=0, rtol=0)
    torch.testing.assert_close(SpectralCrepe(network, window=1024)(windows), expected, atol=5e-6, rtol=0)
    assert expected.max() > 0.3


def test_reading_the_network_leaves_the_random_numbers_as_they_were():
    before = torch.get_rng_state()
    read_network("tiny")
    assert torch.equal(torch.get_rng_state(), before)
