"""Tiny networks for the Fréchet audio distance, as files."""

import warnings

import torch
from safetensors.torch import save_file
from torch import Tensor, nn


class Levels(nn.Module):
    """Mean square and mean absolute value of each 1,000 samples."""

    def forward(self, audio: Tensor) -> Tensor:
        pieces = audio[:, : audio.shape[1] // 1000 * 1000].view(1, -1, 1000)
        return torch.stack([pieces.square().mean(dim=2), pieces.abs().mean(dim=2)], dim=2)


class Sum(nn.Module):
    """No vectors at all."""

    def forward(self, audio: Tensor) -> Tensor:
        return audio.sum()


class Logarithms(nn.Module):
    """Levels in dB, which silence has none of."""

    def forward(self, audio: Tensor) -> Tensor:
        return audio[:, : audio.shape[1] // 1000 * 1000].view(-1, 1000).square().mean(dim=1, keepdim=True).log10()


def write_torchscript(path, network=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(network or Levels()), path)
    return path


def small_vggish():
    """VGGish with few channels, under the names of its layers."""
    torch.manual_seed(1)
    layers = []
    before = 1
    for width in (3, "pool", 4, "pool", 4, 5, "pool", 5, 6, "pool"):
        if width == "pool":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            before = width
    dense = [nn.Linear(6 * 4 * 6, 10), nn.ReLU(), nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 2)]
    dense[-1].weight.data *= 100  # untrained layers leave little of a signal
    return nn.ModuleDict({"features": nn.Sequential(*layers), "embeddings": nn.Sequential(*dense)})


def write_vggish(path):
    save_file(small_vggish().state_dict(), path)
    return path
