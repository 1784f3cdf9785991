import pytest
import torch
import torchcrepe

from zoo.features.crepe_network import CrepeNetwork


@pytest.mark.parametrize("model", ["tiny", "full"])
def test_network_gives_what_torchcrepes_layers_give(model):
    with torch.random.fork_rng():
        torchcrepe.load.model("cpu", model)
    network = torchcrepe.infer.model.eval()
    torch.manual_seed(0)
    time = torch.arange(1024) / 16000
    windows = torch.stack([torch.sin(2 * torch.pi * f0 * time) for f0 in (82.0, 220.0, 441.0, 1300.0)])
    windows = torch.cat(
        [windows, torch.randn(7, 1024), torch.zeros(1, 1024)]
    )  # more than one block, and not whole ones
    windows = (windows - windows.mean(-1, keepdim=True)) / windows.std(-1, keepdim=True).clamp(min=1e-10)
    with torch.no_grad():
        expected = network(windows)
    torch.testing.assert_close(CrepeNetwork(network, window=1024)(windows), expected, atol=5e-6, rtol=0)
    assert expected.max() > 0.3
