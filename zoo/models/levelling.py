"""The level of what a model plays: that of the recording, as people hear it, and never over full scale.

Requirements: one gain for the whole, so that a phrase's dynamics stay; a result that would pass full scale is limited
without a sound of its own, since one lower gain would leave many results far under the recording; silence is silence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import ConfigError
from zoo.features import Features, sound_level_db
from zoo.features.loudness import FLOOR_DB

LEVELS = ("recording", "normalised")

CEILING = 10.0 ** (-0.3 / 20.0)
"""The largest sample of what was limited: a little under full scale, for what lies between the samples."""

REACH_SECONDS = 0.1
"""The limiter's gain falls from so long before a peak on, and is back as long after it: slower than any pitch, so that
nothing buzzes."""

MAX_LIMITED_DB = 12.0
"""The most that a peak is turned down against the rest. What needs more is turned down as a whole."""

_BLOCK_SECONDS = 0.001
_TRIES = 8
_WORTH = 0.5
_CLOSE_DB = 0.05
# Half of the smallest step of a 16-bit file: what is softer is silence there.
_SILENT = 0.5 / 32768
# Samples that a gain is worked out for at a time.
_SAMPLES = 1 << 20


@dataclass(frozen=True)
class Levelled:
    """Audio at its level.

    Attributes:
        audio: `[samples]`, at most `CEILING` where it was limited or turned down, and else as it came.
        gain_db: What was added for the recording's level, before anything was limited; minus infinity for silence.
        limited_db: How much the highest peak was turned down against the rest; 0 where nothing was limited.
        turned_down_db: How much the whole is under the level that it was to have, so as not to pass full scale.
    """

    audio: Tensor
    gain_db: float
    limited_db: float = 0.0
    turned_down_db: float = 0.0

    def describe(self) -> str:
        """What was done so as not to pass full scale, as a line; empty where nothing was."""
        said = []
        if self.limited_db >= 0.05:
            said.append(f"peaks turned down by up to {self.limited_db:.1f} dB")
        if self.turned_down_db >= 0.05:
            said.append(f"{'the whole' if said else 'turned down'} by {self.turned_down_db:.1f} dB")
        return f"{', '.join(said)}, so as not to pass full scale" if said else ""


def check_level(level: str) -> None:
    """Refuse what is no `level`.

    Raises:
        ConfigError: It is unknown.
    """
    if level not in LEVELS:
        raise ConfigError(f"There is no level {level!r}; it is 'recording' or 'normalised'.")


def recording_level_db(features: Features, *, sample_rate: int) -> float:
    """The A-weighted level of the recording that features were measured of; minus infinity for silence.

    Args:
        features: With the recording as it was measured, and what normalisation added to its level.
        sample_rate: Of the recording, in Hz.
    """
    return _level(features.audio, sample_rate) - features.gain_db


def at_level(audio: Tensor, level_db: float | None, *, sample_rate: int, tail: int = 0) -> Levelled:
    """Give audio the A-weighted level of a recording, without passing full scale.

    Args:
        audio: `[samples]`.
        level_db: The level to have, of `zoo.features.sound_level_db`; minus infinity gives silence. None: the level
            that the audio has.
        sample_rate: In Hz.
        tail: Samples at the end that follow what was recorded: the level is that of the others, and from where the tail
            has died away it is left out.

    Returns:
        The audio, and what was done to it.
    """
    measured = len(audio) - tail
    made = _levelled(audio, level_db, measured, sample_rate=sample_rate)
    sounding = (made.audio[measured:].abs() >= _SILENT).nonzero()
    return replace(made, audio=made.audio[: measured + (int(sounding[-1]) + 1 if len(sounding) else 0)])


def _levelled(audio: Tensor, level_db: float | None, measured: int, *, sample_rate: int) -> Levelled:
    own_db = _level(audio[:measured], sample_rate)
    if level_db is None or (own_db == -math.inf and level_db > -math.inf):
        gain_db = 0.0
    else:
        gain_db = level_db - own_db if level_db > -math.inf else -math.inf
    if gain_db == -math.inf:
        return Levelled(torch.zeros_like(audio), gain_db)
    louder = audio * 10.0 ** (gain_db / 20.0)
    peak = _peak(louder)
    if peak <= CEILING:
        return Levelled(louder, gain_db)
    return _limited(louder, own_db + gain_db, gain_db, measured, sample_rate=sample_rate)


def limit(audio: Tensor, *, sample_rate: int, ceiling: float = CEILING) -> Tensor:
    """Turn peaks down to a ceiling, smoothly: the gain begins to fall before a peak and is back after it.

    The gain at a sample is a weighted mean, over the time around it, of the least gain that the time around each of
    those needs; so it is never more than the sample itself needs, and what is far from any peak stays as it is.

    Args:
        audio: `[samples]`.
        sample_rate: In Hz.
        ceiling: The largest sample of the result.

    Returns:
        `[samples]`.
    """
    if _peak(audio) <= ceiling:
        return audio
    block = max(1, round(_BLOCK_SECONDS * sample_rate))
    reach = max(1, round(REACH_SECONDS / (2 * _BLOCK_SECONDS)))
    peaks = F.pad(_peaks(audio, block), (2 * reach + 1, 2 * reach + 1))
    # One block further than the mean reaches, so that the line from one block's gain to the next is low enough too.
    around = F.max_pool1d(peaks[None], 2 * (reach + 1) + 1, stride=1)
    window = torch.hann_window(2 * reach + 3, periodic=False, dtype=audio.dtype)[1:-1]
    # What is to be taken away, rather than what is left: where that is nothing, no processor makes something of it.
    taken = 1.0 - ceiling / around.clamp(min=ceiling)
    gains = 1.0 - F.conv1d(taken, (window / window.sum())[None, None])[0]
    limited = torch.empty_like(audio)
    for start in range(0, len(audio), _SAMPLES):
        some = audio[start : start + _SAMPLES]
        at = (torch.arange(start, start + len(some), dtype=torch.float64) + 0.5) / block - 0.5
        at = at.clamp(0, len(gains) - 1)
        low = at.floor().long().clamp(max=max(0, len(gains) - 2))
        part = (at - low).to(audio)
        high = (low + 1).clamp(max=len(gains) - 1)
        # What rounding leaves over the ceiling is a hair's breadth.
        limited[start : start + _SAMPLES] = (some * torch.lerp(gains[low], gains[high], part)).clamp(-ceiling, ceiling)
    return limited


def _peak(audio: Tensor) -> float:
    # as audio.abs().max() gives it, without another copy of a long recording
    return float(torch.maximum(audio.max(), -audio.min())) if len(audio) else 0.0


def _peaks(audio: Tensor, block: int) -> Tensor:
    # of each block, the last of which may be short
    whole = len(audio) // block * block
    blocks = audio[:whole].view(-1, block)
    found = torch.maximum(blocks.amax(1), -blocks.amin(1))
    return torch.cat([found, audio[whole:].abs().max()[None]]) if whole < len(audio) else found


def _limited(louder: Tensor, level_db: float, gain_db: float, measured: int, *, sample_rate: int) -> Levelled:
    # A limiter takes of the level too: it is driven harder for as long as that gives most of it back. A steady sound,
    # which is all peaks, is turned down as a whole.
    def driven(by_db: float) -> Tensor:
        return limit(louder * 10.0 ** (by_db / 20.0), sample_rate=sample_rate)

    over_db = 20.0 * math.log10(_peak(louder) / CEILING)
    drive_db = -over_db
    limits, lacks_db = False, over_db
    for _ in range(_TRIES):
        step_db = min(lacks_db, MAX_LIMITED_DB - (over_db + drive_db))
        if step_db < _CLOSE_DB:
            break
        still_db = level_db - _level(driven(drive_db + step_db)[:measured], sample_rate)
        if lacks_db - still_db < step_db * _WORTH:
            break
        limits, lacks_db, drive_db = True, max(0.0, still_db), drive_db + step_db
    # worked out once more, rather than kept beside each one that is tried: a long recording takes much memory
    audio = driven(drive_db) if limits else louder * 10.0 ** (drive_db / 20.0)
    return Levelled(audio, gain_db, over_db - lacks_db, lacks_db)


def _level(audio: Tensor, sample_rate: int) -> float:
    # Of a sound at full scale, so that the floor of the measure is far away.
    peak = _peak(audio)
    if peak == 0.0:
        return -math.inf
    found = float(sound_level_db(audio[None] / peak, sample_rate=sample_rate)[0])
    return found + 20.0 * math.log10(peak) if found > FLOOR_DB else -math.inf
