"""Notes from Python, as pitch and loudness of frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from zoo.checks.options import number_fault, refuse
from zoo.errors import ConfigError
from zoo.live.performer import Performer, Style, dynamics_of, style_of

if TYPE_CHECKING:
    from zoo.models.model import Model

MOST_SECONDS = 3600.0
_KEYS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def note_name(pitch: int) -> str:
    """A key's name, e.g. "A4" for 69.

    Args:
        pitch: As MIDI counts.
    """
    return f"{_KEYS[pitch % 12]}{pitch // 12 - 1}"


@dataclass(frozen=True)
class Note:
    """A note.

    Attributes:
        start: In seconds.
        end: In seconds.
        pitch: As MIDI counts, 69 is A4 (440 Hz); may be between two keys.
        velocity: 1 to 127.
    """

    start: float
    end: float
    pitch: float
    velocity: float = 80.0


def notes_to_features(
    notes: Iterable[Note | Sequence[float]],
    *,
    style: str | Style | None = None,
    model: Model | None = None,
    voices: int = 1,
    transpose: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Pitch and loudness of notes, as a model takes them.

    Example:
        >>> f0_hz, loudness_db = zoo.notes_to_features([(0.0, 0.5, 69), (0.5, 1.0, 71, 100)], style="expressive")
        >>> f0_hz.shape, round(float(f0_hz[60]))
        (torch.Size([272]), 440)

    Args:
        notes: `Note`s, or their numbers: start and end in seconds, MIDI pitch, velocity (80 if left out). In any order.
        style: "expressive", "plain", "struck", or a `Style`; None for what the model's notes do: "struck" where they
            fall while they are held, as a piano's, else "expressive".
        model: Whose frames and range they are for; otherwise there are 250 frames per second, and velocities mean -45
            to -15 dB.
        voices: How many may sound at once. With one, overlapping notes are bound, and the last one counts.
        transpose: Semitones.

    Returns:
        `f0_hz` (0 where silent) and `loudness_db` (-80 to 0), each `[frames]`, or `[voices, frames]` with several.

    Raises:
        ConfigError: A note is no note, ends before it begins, or the notes last more than an hour.
    """
    found = [_note(number, note) for number, note in enumerate(notes)]
    rate = 250.0 if model is None else model.sample_rate / model.hop
    soft, loud = (
        dynamics_of(None, "a_weighted")
        if model is None
        else dynamics_of(model.config.range, model.feature_settings().loudness)
    )
    span = None if model is None else model.config.range
    performer = Performer(rate, voices, style_of(style, span), soft, loud, transpose, paired=True)
    # At one moment the end of a note comes before the beginning of the next, but not before its own.
    events = [(note.start, 1, note) for note in found]
    events += [(note.end, 0 if note.end > note.start else 2, note) for note in found]
    pieces, at = [], 0
    for seconds, order, note in sorted(events, key=lambda event: event[:2]):
        frame = round(seconds * rate)
        pieces.append(performer.frames(frame - at))
        at = frame
        if order == 1:
            performer.note_on(note.pitch, note.velocity)
        else:
            performer.note_off(note.pitch)
    pieces.append(performer.frames(round(performer.style.release_seconds * rate) if found else 0))
    f0_hz, loudness_db = (torch.from_numpy(np.concatenate(parts, axis=1)) for parts in zip(*pieces, strict=True))
    return (f0_hz[0], loudness_db[0]) if voices == 1 else (f0_hz, loudness_db)


def _note(number: int, given: Note | Sequence[float]) -> Note:
    try:
        note = given if isinstance(given, Note) else Note(*given)
        note = replace(note, **{name: float(getattr(note, name)) for name in ("start", "end", "pitch", "velocity")})
    except (TypeError, ValueError):
        raise ConfigError(
            f"Note {number} is {str(given)[:60]}: it must be (start, end, pitch) or (start, end, pitch, velocity)."
        ) from None
    refuse(
        number_fault(f"Note {number}'s {name}", value, least=least, most=most)
        for name, value, least, most in (
            ("start, in seconds,", note.start, 0, MOST_SECONDS),
            ("end, in seconds,", note.end, note.start, MOST_SECONDS),
            ("pitch", note.pitch, 0, 127),
            ("velocity", note.velocity, 1, 127),
        )
    )
    return note
