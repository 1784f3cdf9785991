"""A phrase on the page: players with spectrograms, on one time axis and one scale of levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from zoo.storage import teachers_of
from zoo_report.curves import Tick, round_values
from zoo_report.phrases import Phrase, RunSample, decibels
from zoo_report.runs import Run
from zoo_report.sounds import SILENCE_DB, Sound, data_uri, gain_between, levels_db, picture

Role = Literal["recording", "teacher", "run"]


class _Source(NamedTuple):
    """What a player is made of; see `PhrasePlayer`."""

    role: Role
    title: str
    detail: str
    run: int | None
    sound: Sound


@dataclass(frozen=True)
class _Teacher:
    """A teacher's sound, and the runs of its students."""

    name: str
    weights: str
    sound: Sound
    students: set[int]

    def is_same(self, other: _Teacher) -> bool:
        """Whether it is the same teacher, with the same sound but for its level."""
        same_model = (self.name, self.weights) == (other.name, other.weights)
        return same_model and gain_between(self.sound, other.sound) is not None


@dataclass(frozen=True)
class PhrasePlayer:
    """A sound with its picture.

    Attributes:
        key: Its name in the page.
        role: "run" for a run's own sound.
        title: What it is: "recording", "teacher gru-L-flute", a run's label.
        detail: More about it.
        run: The run's place, for its own sound.
        audio: A wav, as a data URI.
        picture: A PNG, as a data URI.
        alt: What the picture shows, in words.
        seconds: How long it is.
    """

    key: str
    role: Role
    title: str
    detail: str
    run: int | None
    audio: str
    picture: str
    alt: str
    seconds: float


@dataclass(frozen=True)
class PhraseView:
    """A phrase on the page.

    Attributes:
        title: E.g. "Phrase 1".
        players: The recording, teachers, runs.
        notes: Levels that were changed, and what is missing.
        time_ticks: Of the time axis, in seconds (the last one says so).
        frequency_ticks: In kHz.
    """

    title: str
    players: Sequence[PhrasePlayer]
    notes: Sequence[str]
    time_ticks: Sequence[Tick]
    frequency_ticks: Sequence[Tick]

    @property
    def reference(self) -> PhrasePlayer | None:
        """The recording."""
        return next((player for player in self.players if player.role == "recording"), None)

    @property
    def candidates(self) -> list[PhrasePlayer]:
        """What can be compared with the recording."""
        return [player for player in self.players if player is not self.reference]


def view_phrase(phrase: Phrase, runs: Sequence[Run], *, place: int) -> PhraseView:
    """Make the players of a phrase.

    Args:
        phrase: With the sounds of some runs.
        runs: All of them.
        place: Of the phrase on the page, from 0.
    """
    samples = phrase.level_matched()
    sources = _recording(samples) + _teachers(samples, runs)
    for one in samples:
        if (sound := one.sounds.get("student")) is not None:
            run = runs[one.run]
            sources.append(_Source("run", run.label, f"{run.known.config.name}, {run.kind}", one.run, sound))
    seconds = max((source.sound.seconds for source in sources), default=0.0)
    pictures = [levels_db(source.sound, seconds=seconds) for source in sources]
    top = max([SILENCE_DB, *(float(levels.max()) for levels in pictures)])
    players = [
        PhrasePlayer(
            f"p{place}-{number}",
            source.role,
            source.title,
            source.detail,
            source.run,
            data_uri(source.sound.wav(), "audio/wav"),
            data_uri(picture(levels, top=top), "image/png"),
            _alt(source.title, source.sound, seconds, under=top - float(levels.max())),
            source.sound.seconds,
        )
        for number, (source, levels) in enumerate(zip(sources, pictures, strict=True))
    ]
    marks = round_values(0.0, seconds)
    time_ticks = [Tick(100 * value / seconds, f"{value:g}{' s' if value == marks[-1] else ''}") for value in marks]
    highest = max((source.sound.rate for source in sources), default=1) / 2000
    return PhraseView(
        f"Phrase {place + 1}",
        players,
        _notes(samples, runs),
        time_ticks,
        [Tick(100 * value / highest, f"{value:g}") for value in round_values(0.0, highest, most=5)],
    )


def _alt(title: str, sound: Sound, seconds: float, *, under: float) -> str:
    level = f"its loudest point {under:.0f} dB under the loudest of the phrase" if sound.samples.any() else "silence"
    return f"Spectrogram of {title}: {seconds:.2f} seconds, 0 to {sound.rate / 2000:g} kHz, {level}"


def _recording(samples: Sequence[RunSample]) -> list[_Source]:
    """The recording as the run has it whose level is kept."""
    first = max(samples, key=lambda one: one.gain)
    sound = first.sounds.get("recording")
    if sound is None:
        return []
    return [_Source("recording", "recording", "what all others are to come near to", None, sound)]


def _teachers(samples: Sequence[RunSample], runs: Sequence[Run]) -> list[_Source]:
    """Each teacher's sound once: runs of one teacher hold the same, but for rounding."""
    found: list[_Teacher] = []
    for one in sorted(samples, key=lambda one: -one.gain):
        sound = one.sounds.get("teacher")
        if sound is None:
            continue
        run = runs[one.run]
        weights = str(teachers_of(run.known.config)[0].get("weights") or "") if run.distilled else ""
        teacher = _Teacher(run.teacher or "unnamed", weights, sound, {one.run})
        same = next((each for each in found if each.is_same(teacher)), None)
        if same is not None:
            same.students.add(one.run)
        else:
            found.append(teacher)
    names = [teacher.name for teacher in found]
    sources = []
    for teacher in found:
        labels = ", ".join(runs[place].label for place in sorted(teacher.students))
        title = f"teacher {teacher.name}" + (f" (of {labels})" if names.count(teacher.name) > 1 else "")
        sources.append(_Source("teacher", title, f"taught {labels}", None, teacher.sound))
    return sources


def _notes(samples: Sequence[RunSample], runs: Sequence[Run]) -> list[str]:
    notes = []
    lowered = [
        f"{runs[one.run].label} by {-decibels(one.gain):.1f} dB" for one in samples if decibels(one.gain) <= -0.05
    ]
    if lowered:
        notes.append(
            f"Turned down, so that all sounds of this phrase are at one level: {'; '.join(lowered)}. (A run turns a "
            "phrase down where one of its sounds would clip.)"
        )
    for one in samples:
        lacking = [role for role in ("recording", "student") if role not in one.sounds]
        if runs[one.run].distilled and "teacher" not in one.sounds:
            lacking.append("teacher")
        if lacking:
            notes.append(f"{runs[one.run].label} does not hold of it: {', '.join(lacking)}.")
    silent = [run.label for place, run in enumerate(runs) if place not in {one.run for one in samples}]
    if silent:
        notes.append(f"No sound of this phrase: {', '.join(silent)}.")
    return notes
