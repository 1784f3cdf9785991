"""The phrases that runs hold, and which of them are one and the same.

Runs on the same data render the same held-out segments. But a run turns down what it writes of a segment where one of
its own sounds would clip, so the recordings of two runs often differ in their level. They are matched whatever their
level, and what is matched is brought to the softest of the levels: nobody should prefer a sound for being louder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from zoo.errors import DatasetError
from zoo_report.runs import Run
from zoo_report.sounds import Sound, gain_between, read_sound


@dataclass(frozen=True)
class RunSample:
    """A phrase's sounds in one run.

    Attributes:
        run: Its place among the runs.
        number: The phrase's number in it.
        sounds: By role.
        gain: How much louder its recording is than that of the first run that holds the phrase.
    """

    run: int
    number: int
    sounds: dict[str, Sound]
    gain: float = 1.0


@dataclass
class Phrase:
    """A phrase, and its sounds in runs.

    Attributes:
        samples: By run.
    """

    samples: list[RunSample] = field(default_factory=list)

    @property
    def runs(self) -> set[int]:
        """The places of the runs that hold it."""
        return {sample.run for sample in self.samples}

    @property
    def recording(self) -> Sound | None:
        """The recording, as the first run has it."""
        return self.samples[0].sounds.get("recording")

    def level_matched(self) -> list[RunSample]:
        """The sounds of runs, at one level: that of the run whose recording is softest, which stays as it is."""
        softest = min(sample.gain for sample in self.samples)
        return [
            RunSample(
                sample.run,
                sample.number,
                {role: sound.with_gain(softest / sample.gain) for role, sound in sample.sounds.items()},
                softest / sample.gain,
            )
            for sample in self.samples
        ]


def read_phrases(runs: Sequence[Run]) -> tuple[list[Phrase], list[str]]:
    """Read the samples of all runs, and match them.

    Args:
        runs: With their sound files.

    Returns:
        The phrases, in the order in which they are met; and what could not be read, a sentence each.
    """
    phrases: list[Phrase] = []
    problems = []
    for place, run in enumerate(runs):
        for number, paths in run.samples.items():
            sounds = {}
            for role, path in paths.items():
                try:
                    sounds[role] = read_sound(path)
                except DatasetError as error:
                    problems.append(f"{run.label}: {error}")
            if sounds:
                _enter(phrases, RunSample(place, number, sounds))
    return phrases, problems


def choose(phrases: Sequence[Phrase], *, count: int) -> list[Phrase]:
    """Choose some phrases: so that every run is heard, if that can be, and then those that most runs hold.

    Args:
        phrases: In the order in which they are met.
        count: How many to choose at most.

    Returns:
        The chosen ones, in their former order.
    """
    left = list(range(len(phrases)))
    chosen: list[int] = []
    covered: set[int] = set()
    while left and len(chosen) < count:
        best = max(left, key=lambda i: (len(phrases[i].runs - covered), len(phrases[i].runs), -i))
        left.remove(best)
        chosen.append(best)
        covered |= phrases[best].runs
    return [phrases[i] for i in sorted(chosen)]


def decibels(gain: float) -> float:
    """A gain in dB."""
    return 20 * math.log10(gain)


def _enter(phrases: list[Phrase], sample: RunSample) -> None:
    recording = sample.sounds.get("recording")
    for phrase in phrases:
        first = phrase.recording
        if first is None or recording is None or sample.run in phrase.runs:
            continue
        if (gain := gain_between(first, recording)) is not None:
            phrase.samples.append(replace(sample, gain=gain))
            return
    phrases.append(Phrase([sample]))
