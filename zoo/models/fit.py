"""From what a recording asks for to what a model was trained to play: pitch by octaves, loudness by one shift.

Requirements: nothing that a listener would call another melody or another dynamic, so whole octaves and one number of
dB for all frames; what is softer than training was is played as softly as training was and turned down, so that pauses
are as quiet as the recording's; no click where that begins and ends; silence stays silence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.checks.options import number_fault
from zoo.errors import ConfigError
from zoo.features import Features, a_weighted_level_db
from zoo.features.loudness import FLOOR_DB, heard_frames
from zoo.models.long_rendering import LongRendering
from zoo.storage.model_range import ModelRange
from zoo.synths import Synth

FITS = ("auto", "off")

LOW, HIGH = 0.01, 0.99
"""The quantiles of training pitch and loudness that a range spans."""

INNER = 0.1
"""The quantiles of training loudness, from either end, between which a recording's median is to lie."""

ENOUGH = 0.9
"""A move by fewer octaves does where it brings this part of what the best one brings into the range."""

QUIET_DB, SOFT_DB = 20.0, 35.0
"""So much under what is heard of a recording, the result begins to be held to its level, and is held to it fully."""

MIN_FRAMES = 10
"""Fewer frames with a pitch say nothing about where a recording lies."""


_FADE_DB = 10.0
_FADE_SECONDS = 0.01  # of a sound that breaks off
_SMOOTH_FRAMES = 5
# Frames that a gain is drawn between at a time: over a minute at 16 kHz.
_FRAMES = 1 << 15


@dataclass(frozen=True)
class Fit:
    """How far a recording was moved into a model's range.

    Attributes:
        octaves: That the pitch was moved up (or down).
        loudness_db: That was added to the loudness.
    """

    octaves: int
    loudness_db: float

    def describe(self, name: str) -> str:
        """What was done, as a line.

        Args:
            name: The model's.
        """
        said = []
        if self.octaves:
            many = f"{abs(self.octaves)} octave{'s' * (abs(self.octaves) > 1)}"
            said.append(f"pitch moved {'up' if self.octaves > 0 else 'down'} {many}")
        if abs(self.loudness_db) >= 0.5:
            said.append(f"loudness {self.loudness_db:+.0f} dB")
        if not said:
            return f"pitch and loudness are in the range of {name}"
        return f"{', '.join(said)}, into the range of {name}"


@dataclass
class FittedFeatures(Features):
    """Features that were moved into a model's range.

    Attributes:
        fit: How far.
        level_db: A-weighted level of the recording, `[frames]`: where it is quiet the result is no louder.
    """

    fit: Fit
    level_db: Tensor


def check_fit(fit: str) -> None:
    """Refuse what is no `fit`.

    Raises:
        ConfigError: It is unknown.
    """
    if fit not in FITS:
        raise ConfigError(f"There is no fit {fit!r}; it is 'auto' or 'off'.")


def into_range(features: Features, span: ModelRange, *, sample_rate: int, hop: int) -> FittedFeatures:
    """Move features into a model's range.

    Args:
        features: Of a recording, as the model's front end gives them.
        span: The model's range.
        sample_rate: Of `features.audio`, in Hz.
        hop: Samples per frame.

    Returns:
        The features, moved, and how far.
    """
    level_db = a_weighted_level_db(features.audio[None], sample_rate=sample_rate, hop=hop)[0]
    heard = heard_frames(level_db)
    voiced = heard & (features.f0_hz > 0)
    octaves = octaves_into(features.f0_hz[voiced], span)
    sounding = features.loudness_db[voiced if int(voiced.sum()) >= MIN_FRAMES else heard]
    shift_db = loudness_into(sounding, span)
    lowest, highest = span.loudness_db.at(LOW), span.loudness_db.highest
    loudness_db = (features.loudness_db + shift_db).clamp(lowest, highest)
    given = {each.name: getattr(features, each.name) for each in fields(Features)}
    given |= {"f0_hz": features.f0_hz * 2.0**octaves, "loudness_db": loudness_db}
    return FittedFeatures(**given, fit=Fit(octaves, shift_db), level_db=level_db)


def octaves_into(f0_hz: Tensor, span: ModelRange) -> int:
    """By how many octaves pitches have to move so that most of them are in a range; as few as will do.

    Args:
        f0_hz: Pitches in Hz, none of them 0.
        span: The range.
    """
    if len(f0_hz) < MIN_FRAMES:
        return 0
    low, high = span.f0_hz.at(LOW), span.f0_hz.at(HIGH)
    covered = {
        octaves: float(((f0_hz * 2.0**octaves >= low) & (f0_hz * 2.0**octaves <= high)).float().mean())
        for octaves in sorted(range(-6, 7), key=abs)
    }
    if not any(covered.values()):  # the range is of less than an octave, and all of the recording between two of those
        return round(math.log2(math.sqrt(low * high) / float(f0_hz.median())))
    enough = max(covered.values()) * ENOUGH
    return next(octaves for octaves, share in covered.items() if share >= enough)


def loudness_into(loudness_db: Tensor, span: ModelRange) -> float:
    """What to add to the loudness of sounding frames: half of what their median lacks, and what brings it well inside.

    Measured on pairs of phrase and model, by the Fréchet distance of log-mel frames to recordings of the model's
    instrument: all of what the median lacks is best for trumpets and worst for flutes, none of it the other way round.
    Half is never far from the best. A slope changes little.

    Args:
        loudness_db: Of the frames that sound.
        span: The range.
    """
    if not len(loudness_db):
        return 0.0
    median = float(loudness_db.median())
    halfway = (median + span.loudness_db.median) / 2.0
    return min(max(halfway, span.loudness_db.at(INNER)), span.loudness_db.at(1.0 - INNER)) - median


def quietened(made: LongRendering, asked: Features, synth: Synth, *, tail: bool = False) -> Tensor:
    """What a model made, as quiet in pauses as the recording: `[batch, samples]`, for a batch of one.

    The dry sound is turned down, and the reverb follows, so that its tail is whole.

    Args:
        made: What the model made of the features; its audio may be overwritten.
        asked: The features; those that were not fitted bind nothing.
        synth: The model's.
        tail: Fade the dry sound out at its end, in case the recording breaks off there, and let the reverb go on after
            it, for as long as its impulse response is.
    """
    if not isinstance(asked, FittedFeatures) and not tail:
        return made.audio
    gain = torch.ones_like(made.dry[0])
    if isinstance(asked, FittedFeatures):
        dry = made.dry[0].float().cpu()
        gain = quiet_gain(dry, asked.level_db, sample_rate=synth.sample_rate, hop=synth.hop).to(made.dry)
    if tail:
        fade = min(len(gain), round(_FADE_SECONDS * synth.sample_rate))
        gain[len(gain) - fade :] *= torch.hann_window(2 * fade + 1, periodic=False).to(gain)[fade + 1 :]
    if synth.reverb is None:
        return made.audio * gain
    quiet = torch.mul(made.dry, gain, out=made.audio)
    del gain  # each is a copy of a recording that may be an hour long
    audio: Tensor = synth.reverb(quiet)
    if not tail:
        return audio
    taps = synth.reverb.length
    after = synth.reverb(F.pad(quiet[..., -taps:], (0, taps)))[..., -taps:]
    return torch.cat([audio, after], dim=-1)


def quiet_gain(dry: Tensor, level_db: Tensor, *, sample_rate: int, hop: int) -> Tensor:
    """The gain that makes what a model plays no louder than the recording where that is quiet.

    Both are compared with what they are in the frames that are heard. Nothing is done to frames that are up to
    `QUIET_DB` softer than that in the recording, and all of it from `SOFT_DB` on; a silent frame becomes silent.

    Args:
        dry: What the model plays, before a reverb, `[samples]`.
        level_db: A-weighted level of the recording's frames, `[frames]`.
        sample_rate: In Hz.
        hop: Samples per frame.

    Returns:
        `[samples]`, 0 to 1.
    """
    own_db = a_weighted_level_db(dry[None], sample_rate=sample_rate, hop=hop)[0]
    heard = heard_frames(level_db)
    if not bool(heard.any()):
        return torch.zeros_like(dry)
    asked_db = level_db - level_db[heard].median()
    excess_db = (own_db - own_db[heard].median() - asked_db).clamp(min=0.0)
    weight = ((-QUIET_DB - asked_db) / (SOFT_DB - QUIET_DB)).clamp(0.0, 1.0)
    fade = ((level_db - FLOOR_DB) / _FADE_DB).clamp(0.0, 1.0)
    gain = 10.0 ** (-weight * excess_db / 20.0) * fade
    window = torch.hann_window(_SMOOTH_FRAMES + 2, periodic=False)[1:-1]
    reach = _SMOOTH_FRAMES // 2
    padded = F.pad(gain[None, None], (reach, reach), mode="replicate")
    smooth = F.conv1d(padded, (window / window.sum())[None, None])
    # Frame t is centred on sample t * hop.
    ends = F.pad(smooth, (0, 1), mode="replicate")
    line = ends.new_empty(len(gain) * hop)
    for start in range(0, len(gain), _FRAMES):
        some = ends[..., start : start + _FRAMES + 1]
        between = (some.shape[-1] - 1) * hop
        piece = F.interpolate(some, between + 1, mode="linear", align_corners=True)[0, 0, :-1]
        torch.clamp(piece, 0.0, 1.0, out=line[start * hop : start * hop + between])
    return line


def shift_faults(transpose: float, loudness_shift_db: float) -> list[str | None]:
    """What is wrong with the shifts that `synthesize` takes; None for nothing."""
    return [
        number_fault("transpose, in semitones,", transpose, least=-120, most=120),
        number_fault("the shift of the loudness, in dB,", loudness_shift_db, least=-160, most=160),
    ]
