"""How noisy a recording is: its noise floor and signal-to-noise ratio, estimated from the recording alone.

Requirements: it says from what it was estimated, and says nothing where it cannot be told; digital silence, which an
editor put there, is no pause of the recording; the estimate errs towards more noise.

Source: the idea of the second measure is that of Martin, "Noise power spectral density estimation based on optimal
smoothing and minimum statistics" (IEEE Transactions on Speech and Audio Processing 9, 2001).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from zoo_kernels import SpectralPlan, spectral_magnitudes

# Levels are measured over this long, in seconds, twice as often.
_FRAME = 0.032
# Mean squares up to this (-120 dB of full scale) are digital silence.
_DIGITAL_SILENCE = 1e-12
# How far in dB under the loud frames a frame counts as sound at most, and as a pause at least.
_SOUND_DB, _PAUSE_DB = 40.0, 10.0
# Shortest time, in seconds, that pauses, and a recording without any, must have.
_LEAST_PAUSE, _LEAST = 0.25, 1.0
_PAUSE_QUANTILE = 0.2
# Minimum statistics: window in seconds, the quantile over time, and the one over the bands within so many Hz.
_WINDOW, _TIME_QUANTILE, _BAND_QUANTILE, _NEIGHBOURS_HZ = 0.128, 0.1, 0.25, 150.0
# Under this median pitch the partials lie too near to each other, and move too much, to look between them.
_LOWEST_HZ = 110.0
# What white noise has of its power where these quantiles are taken: found with a minute of it.
_BIAS = 0.088
# Magnitudes under this, as spectral losses see them, are next to their logarithm's floor; and the share of the band
# that must be so before anybody is told.
_EMPTY, _EMPTY_SHARE = 3e-6, 0.1
# Seconds of a recording that are looked at for it.
_LOOKED_AT = 120
# Frames, and bands, that are looked at at once.
_AT_ONCE, _BANDS = 1024, 32


@dataclass(frozen=True)
class Noise:
    """The noise of a recording.

    Attributes:
        floor_db: Level of the noise, in dB of full scale (mean square); None where it cannot be told.
        snr_db: Level of the sound without the noise, over that of the noise, in dB; None where it cannot be told.
        measured_in: "pauses", or "bands" (between the partials, where there are no pauses: breath and bow count as
            noise there); empty where it cannot be told.
    """

    floor_db: float | None = None
    snr_db: float | None = None
    measured_in: str = ""


def highest_hz(audio: Tensor, *, sample_rate: int) -> float | None:
    """The frequency over which a recording is empty, be it that a codec or an earlier rate ended there.

    Args:
        audio: `[samples]`.
        sample_rate: In Hz.

    Returns:
        In Hz; None where all of the band sounds, or nothing does.
    """
    plan = SpectralPlan((2048,), (2048,))
    if len(audio) <= plan.fft_sizes[0] // 2:
        return None
    (magnitudes,) = spectral_magnitudes(audio[None, : _LOOKED_AT * sample_rate], plan)
    sounding = (torch.quantile(magnitudes[0], 0.9, dim=0) > _EMPTY).nonzero()
    bins = magnitudes.shape[-1]
    if len(sounding) == 0 or int(sounding.max()) > (1 - _EMPTY_SHARE) * bins:
        return None
    return int(sounding.max()) / (bins - 1) * sample_rate / 2


def estimate_noise(audio: Tensor, f0_hz: Tensor, *, sample_rate: int, hop: int) -> Noise:
    """Estimate the noise floor and the signal-to-noise ratio of a recording.

    The floor is the lower of two measures, since each can only be too high: the level that is not reached in a fifth of
    the unvoiced frames, where these last for 0.25 s or more and are 10 dB or more under the loud ones; and the power
    that is not reached in a tenth of the time, band by band, taken between the partials.

    Args:
        audio: `[samples]`.
        f0_hz: `[samples // hop]`, 0 where there is no pitch.
        sample_rate: In Hz.
        hop: Samples per frame.

    Returns:
        The noise; it cannot be told without pauses (those that are digitally silent are none) where the recording is
        shorter than a second or its median pitch is under 110 Hz.
    """
    audio = audio.detach().cpu()
    level, voiced = _frames(audio, f0_hz.cpu(), sample_rate, hop)
    real = level > _DIGITAL_SILENCE
    if not bool(real.any()):
        return Noise()
    loud = level[real].quantile(0.95)
    found: dict[str, float] = {}
    quiet = real & ~voiced & (level < loud * 10.0 ** (-_PAUSE_DB / 10.0))
    if int(quiet.sum()) * _FRAME / 2 >= _LEAST_PAUSE:
        found["pauses"] = float(level[quiet].quantile(_PAUSE_QUANTILE))
    pitches = f0_hz[f0_hz > 0]
    low = len(pitches) > 0 and float(pitches.median()) < _LOWEST_HZ
    long = int(real.sum()) * _FRAME / 2 >= _LEAST
    if long and not low and (power := _between_partials(audio, sample_rate)) is not None:
        found["bands"] = power
    if not found:
        return Noise()
    measured_in = min(found, key=lambda name: found[name])
    noise = max(found[measured_in], _DIGITAL_SILENCE)
    sounding = level > torch.maximum(loud * 10.0 ** (-_SOUND_DB / 10.0), torch.tensor(2.0 * noise))
    sound = level[sounding if bool(sounding.any()) else real].mean()
    return Noise(_db(noise), snr_db(float(sound), noise), measured_in)


def snr_db(power: float, noise: float) -> float:
    """Give the ratio in dB of a sound's power to that of the noise in it, from -20 on.

    Args:
        power: Mean square of the sound with its noise.
        noise: Mean square of the noise.
    """
    return _db(max(power - noise, 0.01 * noise) / noise)


def _frames(audio: Tensor, f0_hz: Tensor, sample_rate: int, hop: int) -> tuple[Tensor, Tensor]:
    # Mean square of each frame of 32 ms, and whether there is a pitch anywhere in it or just beside it.
    size = round(_FRAME * sample_rate)
    padded = F.pad(audio, (0, max(0, size - len(audio))))
    level = torch.empty(1 + (len(padded) - size) // (size // 2), dtype=torch.float64)
    for at, some in _pieces(padded, size):
        level[at : at + len(some)] = some.square().mean(dim=-1)
    start = torch.arange(len(level)) * (size // 2)
    before = F.pad((f0_hz > 0).long().cumsum(0), (1, 0))
    first = ((start - size) // hop).clamp(0, len(f0_hz))
    last = ((start + 2 * size) // hop).clamp(0, len(f0_hz))
    return level, before[last] > before[first]


def _pieces(audio: Tensor, size: int) -> Iterator[tuple[int, Tensor]]:
    # The number of the first, and frames [up to _AT_ONCE, size] in float64, one every half of their size.
    frames = audio.unfold(0, size, size // 2)
    for start in range(0, len(frames), _AT_ONCE):
        yield start, frames[start : start + _AT_ONCE].double()


def _between_partials(audio: Tensor, sample_rate: int) -> float | None:
    size = round(_WINDOW * sample_rate)
    if len(audio) < size:
        return None
    window = torch.hann_window(size, dtype=torch.float64)
    scale = 2.0 / (size * float(window.square().sum()))
    # kept in float32, half the size: an hour has 230 MB of them. Written piece by piece, so that no holes are left
    spectra = torch.empty(1 + (len(audio) - size) // (size // 2), size // 2 + 1)
    count = 0
    for _, frames in _pieces(audio, size):
        frames = frames[frames.square().mean(dim=-1) > _DIGITAL_SILENCE]
        # Windows that are digitally silent in part would pass for a quieter floor.
        whole = (frames.unfold(-1, size // 8, size // 8).square().mean(dim=-1) > _DIGITAL_SILENCE).all(dim=-1)
        frames = frames[whole]
        spectra[count : count + len(frames)] = torch.fft.rfft(frames * window).abs().square() * scale
        count += len(frames)
    if count < 8:
        return None
    bands = torch.split(spectra[:count], _BANDS, dim=1)
    quiet = torch.cat([some.double().quantile(_TIME_QUANTILE, dim=0) for some in bands])
    reach = max(1, round(_NEIGHBOURS_HZ * size / sample_rate))
    near = F.pad(quiet[None, None], (reach, reach), mode="replicate")[0, 0].unfold(0, 2 * reach + 1, 1)
    return float(near.quantile(_BAND_QUANTILE, dim=-1).sum()) / _BIAS


def _db(power: float) -> float:
    return round(10.0 * math.log10(max(power, 1e-20)), 2)
