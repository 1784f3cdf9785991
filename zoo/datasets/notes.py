"""Phrases joined from recordings of single notes; the dataset component `notes`.

Many instruments are recorded note by note. A model that has only heard single notes has heard no music: no note that
comes out of another, no short ones, no rests. So notes are joined: cut to lengths as they are played, in melodies of
small steps, bound where they are near in pitch. Their levels stay as they are, or phrases swell and fade: notes that
were all played equally loud say nothing about loudness. What comes of it is not a recording of music, and says so:
`dataset.json`, and the card of every model that is trained with it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.datasets.folder import folder
from zoo.datasets.melodies import POOLS, Placed, compose, pools_of
from zoo.datasets.recordings import Recording, UnusedRecording
from zoo.datasets.single_notes import SingleNote, load_note, measure_note
from zoo.errors import ConfigError, DatasetError

LEVELS = ("kept", "even")
MADE = "phrases joined from recordings of single notes"
# Part of every phrase's digest: another number where the same melody sounds otherwise than before.
_VERSION = 1


@dataclass(frozen=True)
class JoinedPhrase(Recording):
    """A phrase, joined when it is loaded.

    Attributes:
        notes: The notes that it plays.
        melody: How: a placed note's index is that of `notes`.
        gains: What each note is multiplied by.
        swells: Level in dB at the beginning of each placed note; between two of them it changes evenly. Empty for none.
    """

    notes: tuple[SingleNote, ...] = ()
    melody: tuple[Placed, ...] = ()
    gains: tuple[float, ...] = ()
    swells: tuple[float, ...] = ()

    def load(self, sample_rate: int) -> Tensor:
        """Join the notes."""
        try:
            sounds = [gain * load_note(note, sample_rate) for note, gain in zip(self.notes, self.gains, strict=True)]
        except DatasetError as error:
            names = {str(note.file.path): note.file.id for note in self.notes}
            reason = str(error)
            for path, name in names.items():
                reason = reason.replace(path, name)
            raise DatasetError(reason) from error
        audio = join(self.melody, sounds, sample_rate)
        return swell(audio, self.melody, self.swells, sample_rate) if self.swells else audio

    def seconds(self) -> float:
        """Give the phrase's length."""
        return max(placed.ends for placed in self.melody)

    def digest(self, sample_rate: int) -> str:
        """Hash the notes' files and the melody."""
        notes = [[note.digest, note.start, note.seconds] for note in self.notes]
        melody = [astuple(placed) for placed in self.melody]
        swells = [self.swells] if self.swells else []
        return hashlib.sha256(json.dumps([_VERSION, notes, melody, self.gains, *swells]).encode()).hexdigest()

    def origins(self) -> list[Recording]:
        """Give the recordings of the notes."""
        return [note.file for note in self.notes]


def notes(
    path: Path,
    *,
    uses: int = 12,
    shortest: float = 8.0,
    longest: float = 16.0,
    legato: float = 4.0,
    level: str = "kept",
    dynamics: float = 0.0,
    silence_db: float = 40.0,
    fmin: float = 50.0,
    fmax: float = 2000.0,
    seed: int = 0,
) -> Iterator[Recording]:
    """Join a folder's recordings of single notes into phrases.

    The notes are divided into three pools, and each phrase plays notes of one pool, which is its group: so no note is
    heard in two splits. Notes of several instruments, where an index tells, are joined apart, as datasets of their own.

    Args:
        path: The folder, laid out as for `folder`: a file a note.
        uses: How often each note is played, at least.
        shortest: Shortest phrase in seconds.
        longest: Longest.
        legato: Largest interval in semitones that may be bound, without an attack.
        level: "kept" leaves the notes' levels as they were recorded; "even" brings all to one level.
        dynamics: How far phrases fade under that, in dB: each note begins at a level drawn from -dynamics to 0, and
            between two beginnings the level changes evenly.
        silence_db: How far under a note's loudest moment it counts as silence.
        fmin: Notes that are lower are left out, in Hz: pitch trackers do not hear them.
        fmax: Notes that are higher are left out.
        seed: Another seed gives other pools and melodies.

    Yields:
        The phrases, and what is no single note, which is left out with its reason.

    Raises:
        ConfigError: An option does not fit.
        DatasetError: There is no such folder, no audio in it, or there are too few notes.
    """
    _check(
        uses=uses,
        shortest=shortest,
        longest=longest,
        legato=legato,
        level=level,
        dynamics=dynamics,
        silence_db=silence_db,
    )
    found, unusable = _measured(path, silence_db=silence_db, fmin=fmin, fmax=fmax)
    reasons = "".join(f"\n  {each.id}: {each.reason}" for each in unusable)
    if not found:
        raise DatasetError(f"There is no single note in {path}:{reasons}")
    for instrument, own in found.items():
        if len(own) < POOLS:
            of = f" of {instrument}" if instrument else ""
            raise DatasetError(
                f"{path} has {len(own)} usable notes{of}, and at least {POOLS} are needed, one for each split. Add "
                f"notes, or take the recordings as they are: --dataset folder.{reasons}"
            )

    def subset(instrument: str) -> str:
        return (instrument or "unknown") if len(found) > 1 else ""

    for each in unusable:  # it is listed in a dataset that comes to be
        of = each.instrument or ""
        yield replace(each, subset=subset(of if of in found else next(iter(found))))
    for instrument, own in found.items():
        yield from _phrases(
            own,
            instrument or None,
            subset=subset(instrument),
            uses=uses,
            shortest=shortest,
            longest=longest,
            legato=legato,
            level=level,
            dynamics=dynamics,
            seed=seed,
        )


def _measured(
    path: Path, *, silence_db: float, fmin: float, fmax: float
) -> tuple[dict[str, list[SingleNote]], list[UnusedRecording]]:
    """Each instrument's notes, and what is none."""
    found: dict[str, list[SingleNote]] = defaultdict(list)
    unusable: list[UnusedRecording] = []
    first: dict[str, str] = {}
    for file in folder(path):
        try:
            note = measure_note(file, silence_db=silence_db, fmin=fmin, fmax=fmax)
            original = first.setdefault(note.content, file.id)
            if original != file.id:  # under two names, be it in two formats, it could come into two pools
                raise DatasetError(f"the same as {original}")
            found[file.instrument or ""].append(note)
        except (DatasetError, OSError) as error:
            reason = str(error).split(". ")[0].rstrip(".") if isinstance(error, DatasetError) else "cannot be read"
            unusable.append(UnusedRecording(file.id, file.instrument, reason=reason, path=file.path))
    return dict(sorted(found.items())), unusable


def _phrases(
    own: list[SingleNote],
    instrument: str | None,
    *,
    subset: str,
    uses: int,
    shortest: float,
    longest: float,
    legato: float,
    level: str,
    dynamics: float,
    seed: int,
) -> Iterator[Recording]:
    loudest = max(note.level for note in own)
    for number, pool in enumerate(pools_of([note.midi for note in own], seed=seed)):
        melodies = compose(
            [own[k].midi for k in pool],
            [own[k].seconds for k in pool],
            [own[k].body for k in pool],
            uses=uses,
            shortest=shortest,
            longest=longest,
            legato=legato,
            seed=seed,
            pool=number,
        )
        for which, melody in enumerate(melodies):
            played = sorted({placed.note for placed in melody})
            chosen = [own[pool[k]] for k in played]
            random = np.random.default_rng([seed, 2, number, which])
            yield JoinedPhrase(
                id=f"pool-{number}/phrase-{which:03d}",
                instrument=instrument,
                group=f"pool-{number}",
                subset=subset,
                made=MADE,
                notes=tuple(chosen),
                melody=tuple(replace(placed, note=played.index(placed.note)) for placed in melody),
                gains=tuple(loudest / note.level if level == "even" else 1.0 for note in chosen),
                swells=tuple(random.uniform(-dynamics, 0.0, len(melody)).tolist()) if dynamics else (),
            )


def join(melody: tuple[Placed, ...], sounds: list[Tensor], sample_rate: int) -> Tensor:
    """Play a melody.

    Amplitudes rise as a sine and fall as a cosine: where two notes overlap, their powers add up to one.

    Args:
        melody: What to play.
        sounds: Each note `[samples]`.
        sample_rate: In Hz.

    Returns:
        float32 `[samples]`.
    """
    size = max(round(placed.ends * sample_rate) for placed in melody)
    audio = torch.zeros(size)
    for placed in melody:
        first, last = round(placed.begins * sample_rate), round(placed.ends * sample_rate)
        start = round(placed.taken_from * sample_rate)
        # Rounding may ask for a sample more than there is.
        piece = sounds[placed.note][start : start + last - first]
        into = audio[first : first + len(piece)]
        into += piece * _gain(len(piece), round(placed.fade_in * sample_rate), round(placed.fade_out * sample_rate))
    return audio


def swell(audio: Tensor, melody: tuple[Placed, ...], levels: tuple[float, ...], sample_rate: int) -> Tensor:
    """Let a phrase grow louder and softer.

    Args:
        audio: `[samples]`.
        melody: What it plays.
        levels: In dB, at the beginning of each note; before the first and after the last they stay.
        sample_rate: In Hz.

    Returns:
        float32 `[samples]`.
    """
    times = np.arange(len(audio)) / sample_rate
    level_db = np.interp(times, [placed.begins for placed in melody], levels)
    return audio * torch.from_numpy(10.0 ** (level_db / 20.0)).float()


def _gain(size: int, fade_in: int, fade_out: int) -> Tensor:
    time = torch.arange(size, dtype=torch.float64) + 0.5
    rise = (time / max(1, fade_in)).clamp(max=1.0)
    fall = ((size - time) / max(1, fade_out)).clamp(max=1.0)
    return (torch.sin(0.5 * math.pi * rise) * torch.sin(0.5 * math.pi * fall)).float()


def _check(
    *, uses: int, shortest: float, longest: float, legato: float, level: str, dynamics: float, silence_db: float
) -> None:
    if uses < 1:
        raise ConfigError(f"Each note must be played at least once: uses is {uses}.")
    if not 1.0 <= shortest <= longest - 2.5:
        raise ConfigError(
            f"Phrases must be of at least 1 s, and the longest 2.5 s longer than the shortest, so that a note more or "
            f"less fits; shortest is {shortest:g} and longest {longest:g}."
        )
    if legato < 0 or not silence_db > 0:
        raise ConfigError(f"legato must not be negative, and silence_db be above 0: {legato:g} and {silence_db:g}.")
    if not 0.0 <= dynamics <= 60.0:
        raise ConfigError(f"dynamics must be from 0 to 60 dB: {dynamics:g}.")
    if level not in LEVELS:
        raise ConfigError(f"There is no level {level!r}. Choose kept or even.")
