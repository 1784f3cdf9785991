"""Networks that turn a sound into vectors, for the Fréchet audio distance: read from a file that the user gives.

Two kinds of file:

- `.safetensors`: VGGish's weights under the names of its common PyTorch form, `features.0.weight` to
  `features.13.bias` and `embeddings.0.weight` to `embeddings.4.bias`. A vector stands for 0.96 s; there is no
  activation after the last layer, and no whitening.
- anything else: a TorchScript module (`torch.jit.save`) that takes float32 audio `[1, samples]` and gives vectors
  `[vectors, size]` or `[1, vectors, size]`. Such a file is a program: use only one that you trust.

Source: Hershey et al., "CNN architectures for large-scale audio classification" (ICASSP 2017).
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import ConfigError

EMBEDDING_RATE = 16000
# VGGish's own analysis: windows of 25 ms every 10 ms, 64 bands from 125 to 7,500 Hz, 96 frames in a picture.
_WINDOW, _HOP, _N_FFT, _BANDS, _FRAMES = 400, 160, 512, 64, 96
_LOWEST_HZ, _HIGHEST_HZ, _OFFSET = 125.0, 7500.0, 0.01
# Pictures that the network sees at once.
_CHUNK = 16


@dataclass(frozen=True)
class Embedding:
    """A network and what it takes.

    Attributes:
        network: From audio `[1, samples]` to vectors.
        rate: The audio's sample rate in Hz.
        name: The file's, for messages.
    """

    network: Callable[[Tensor], Tensor]
    rate: int
    name: str

    def __call__(self, audio: Tensor) -> Tensor:
        """Embed one sound, `[1, samples]` -> `[vectors, size]`.

        Raises:
            ConfigError: The network cannot take it, or gives something else than vectors.
        """
        try:
            with torch.no_grad():
                found = self.network(audio.cpu())
        except RuntimeError as error:  # what torch raises inside a TorchScript module
            raise ConfigError(
                f"{self.name} does not take audio [1, samples] at {self.rate} Hz: {str(error).strip().splitlines()[-1]}"
            ) from error
        if isinstance(found, Tensor) and found.ndim == 3 and len(found) == 1:
            found = found[0]
        if not isinstance(found, Tensor) or found.ndim != 2:
            what = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ConfigError(
                f"{self.name} gives {what}, where vectors are needed: [vectors, size] or [1, vectors, size]."
            )
        if not torch.isfinite(found).all():
            silent = " (the sound is silent: does the network take the logarithm of 0?)" if not audio.any() else ""
            raise ConfigError(f"{self.name} gives NaN or infinity, from which there is no distance{silent}.")
        return found


def load_embedding(path: Path, *, rate: int = EMBEDDING_RATE) -> Embedding:
    """Read a network from a file.

    Args:
        path: VGGish's weights as safetensors, or a TorchScript module.
        rate: The sample rate in Hz that a TorchScript module takes; VGGish takes 16,000.

    Raises:
        ConfigError: There is no such file, or it is no such network.
    """
    if not path.is_file():
        raise ConfigError(f"There is no file {path}. Give weights=FILE: a network for the Fréchet audio distance.")
    status = path.stat()
    return _loaded(path, rate, status.st_mtime_ns, status.st_size)


# The arguments that are not read make a file that was changed another one.
@functools.lru_cache(maxsize=2)
def _loaded(path: Path, rate: int, changed: int, size: int) -> Embedding:
    if path.suffix == ".safetensors":
        try:
            weights = load_file(path)
        except (SafetensorError, OSError) as error:
            raise ConfigError(f"{path} cannot be read as safetensors: {error}.") from error
        return Embedding(VGGish(weights, name=path.name), EMBEDDING_RATE, path.name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch would rather have files of another kind
            network = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call] # torch does not annotate it
    except RuntimeError as error:
        raise ConfigError(
            f"{path} is not a TorchScript module, such as torch.jit.save writes, nor named .safetensors. A pickle is "
            "not read, since it could run anything: convert it first."
        ) from error
    return Embedding(network, rate, path.name)


class VGGish:
    """VGGish out of its weights: widths and poolings are read from the tensors' shapes and names.

    Args:
        weights: By name.
        name: What messages call it.

    Raises:
        ConfigError: The weights are not VGGish's.
    """

    def __init__(self, weights: dict[str, Tensor], *, name: str) -> None:
        numbers = {
            part: sorted(int(m[1]) for key in weights if (m := re.fullmatch(rf"{part}\.(\d+)\.weight", key)))
            for part in ("features", "embeddings")
        }
        if not all(numbers.values()) or any(key.replace("weight", "bias") not in weights for key in weights):
            raise ConfigError(
                f"{name} does not hold VGGish's weights, features.0.weight and so on to embeddings.4.bias, but "
                f"{', '.join(sorted(weights)[:4])}... For another network give a TorchScript file."
            )
        features = numbers["features"]
        self._layers = []
        for at, number in enumerate(features):
            # In the list of layers a ReLU follows each convolution, and a pooling where one more number is left out.
            pools = at + 1 == len(features) or features[at + 1] - number == 3
            self._layers.append((weights[f"features.{number}.weight"], weights[f"features.{number}.bias"], pools))
        self._dense = [
            (weights[f"embeddings.{number}.weight"], weights[f"embeddings.{number}.bias"])
            for number in numbers["embeddings"]
        ]

    def __call__(self, audio: Tensor) -> Tensor:
        """`[1, samples]` at 16 kHz -> `[seconds / 0.96, size]`."""
        pictures = log_mel_pictures(audio)
        if not len(pictures):
            return audio.new_zeros(0, len(self._dense[-1][1]))
        vectors = [self._embed(some) for some in torch.split(pictures, _CHUNK)]
        return torch.cat(vectors)

    def _embed(self, x: Tensor) -> Tensor:
        x = x[:, None]
        for weight, bias, pools in self._layers:
            x = F.relu(F.conv2d(x, weight, bias, padding=1))
            x = F.max_pool2d(x, 2) if pools else x
        x = x.permute(0, 2, 3, 1).flatten(1)  # channels last, as they were trained
        for at, (weight, bias) in enumerate(self._dense):
            x = F.linear(x if at == 0 else F.relu(x), weight, bias)
        return x


def log_mel_pictures(audio: Tensor) -> Tensor:
    """VGGish's input, `[1, samples]` at 16 kHz -> `[pictures, 96, 64]`; the rest of 0.96 s is cut off."""
    if audio.shape[1] < _WINDOW:
        return audio.new_zeros(0, _FRAMES, _BANDS)
    frames = audio[0].unfold(0, _WINDOW, _HOP) * torch.hann_window(_WINDOW, dtype=audio.dtype)
    magnitude = torch.fft.rfft(frames, n=_N_FFT).abs()
    levels = torch.log(magnitude @ _bands().to(audio) + _OFFSET)
    whole = len(levels) // _FRAMES
    return levels[: whole * _FRAMES].view(whole, _FRAMES, _BANDS)


@functools.lru_cache(maxsize=1)
def _bands() -> Tensor:
    """Triangles in mel (HTK's scale), `[bins, bands]`; the constant component belongs to none."""

    def to_mel(hz: Tensor) -> Tensor:
        return 1127.0 * torch.log1p(hz / 700.0)

    ends = to_mel(torch.tensor([_LOWEST_HZ, _HIGHEST_HZ], dtype=torch.float64))
    edges = torch.linspace(float(ends[0]), float(ends[1]), _BANDS + 2, dtype=torch.float64)
    bins = to_mel(torch.linspace(0.0, EMBEDDING_RATE / 2, _N_FFT // 2 + 1, dtype=torch.float64))[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles = torch.minimum(rising, falling).clamp(min=0.0)
    triangles[0] = 0.0
    return triangles
