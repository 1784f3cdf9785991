"""Which note follows which, and how they are bound: melodies out of the notes that there are.

Requirements: the same seed gives the same melodies on any machine; every note is played about as often as any other;
steps are small where the notes allow it; a note of one pool is never played in another's melodies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

# Lengths of notes in seconds, and how often each is chosen.
_LENGTHS = (0.25, 0.4, 0.6, 0.9, 1.4, 2.2)
_LENGTH_SHARES = (0.1, 0.2, 0.25, 0.2, 0.15, 0.1)
# Weight of a step falls by e for each so many semitones.
_STEP_SEMITONES = 2.5
# It falls by e for each so many times that a note was played more often than another.
_BALANCE = 3.0
# How often a note is played again at once, against all others together.
_AGAIN = 0.1
# Where a bound note is taken up: after this much of its beginning, so that its attack is not heard again.
_ATTACK_SECONDS = 0.12
# How neighbours overlap, in seconds: bound ones long, others so briefly that the attack is heard.
_LEGATO_OVERLAP = (0.04, 0.09)
_DETACHED_OVERLAP = 0.015
# How a note that is cut off ends, before a rest and at the end; and how one begins that is not bound.
_RELEASE_SECONDS = 0.06
_ONSET_SECONDS = 0.005
_REST_SECONDS = (0.06, 0.5)
# How many pools there are: for training, validation and testing.
POOLS = 3
# Share of the notes that each of the smaller pools gets.
_SHARE = 0.12


@dataclass(frozen=True)
class Placed:
    """One note of a melody; times in seconds.

    Attributes:
        note: Which note, as an index.
        begins: When it begins to be heard.
        taken_from: What part of the recorded note is left out at its beginning.
        seconds: How long it is heard, fades included.
        fade_in: Over how much of its beginning its amplitude rises.
        fade_out: Over how much of its end it falls.
        bound: Whether it comes out of the note before, without an attack.
    """

    note: int
    begins: float
    taken_from: float
    seconds: float
    fade_in: float
    fade_out: float
    bound: bool

    @property
    def ends(self) -> float:
        """When it is over."""
        return self.begins + self.seconds


def pools_of(midi: Sequence[float], *, seed: int) -> list[list[int]]:
    """Divide notes into three pools, of which the first is the largest: whole registers are in none of them alone.

    Args:
        midi: Pitch of each note.
        seed: Another seed gives another division.

    Returns:
        Indices of each pool's notes, by pitch.
    """
    order = sorted(range(len(midi)), key=lambda note: (midi[note], note))
    # The lowest and the highest note are for training, where there are enough: models should not be asked beyond.
    inner = order[1:-1] if len(order) >= 6 else order
    few = max(2 if len(order) >= 12 else 1, round(_SHARE * len(order)))
    random = np.random.default_rng([seed, 0])
    # One note out of each stretch of the range, in turns for either pool.
    edges = np.linspace(0, len(inner), 2 * few + 1).round().astype(int)
    chosen = [inner[int(random.integers(low, high))] for low, high in pairwise(edges)]
    first = int(random.integers(2))
    smaller = [chosen[first::2], chosen[1 - first :: 2]]
    return [[note for note in order if note not in chosen], *smaller]


def compose(
    midi: Sequence[float],
    lengths: Sequence[float],
    bodies: Sequence[float],
    *,
    uses: int,
    shortest: float,
    longest: float,
    legato: float,
    seed: int,
    pool: int,
) -> list[list[Placed]]:
    """Make melodies that play each note of a pool about equally often.

    Args:
        midi: Pitch of each note.
        lengths: Length of each note in seconds.
        bodies: How much of it a bound note may be taken from: until it dies away.
        uses: How often each note is played, at least; the last melody may play some of them once more.
        shortest: Shortest melody in seconds.
        longest: Longest.
        legato: Largest interval in semitones that may be bound.
        seed: Another seed gives other melodies.
        pool: Which pool, so that pools of one seed have melodies of their own.

    Returns:
        The melodies.
    """
    random = np.random.default_rng([seed, 1, pool])
    left = np.full(len(midi), uses)
    melodies = []
    while left.max() > 0:
        melody = _melody(
            np.asarray(midi), lengths, bodies, left, random, shortest=shortest, longest=longest, legato=legato
        )
        melodies.append(melody)
    return melodies


def _melody(
    midi: NDArray[np.float64],
    lengths: Sequence[float],
    bodies: Sequence[float],
    left: NDArray[np.int64],
    random: np.random.Generator,
    *,
    shortest: float,
    longest: float,
    legato: float,
) -> list[Placed]:
    target = float(random.uniform(shortest, longest))
    placed: list[Placed] = []
    before = -1
    until_breath = int(random.integers(3, 7))
    while True:
        note = _next(midi, left, before, random)
        left[note] -= 1
        bound = bool(before >= 0 and until_breath > 0 and abs(midi[note] - midi[before]) <= legato)
        bound = bound and bodies[note] > _ATTACK_SECONDS + 2 * _LENGTHS[0] and random.random() < 0.75
        available = bodies[note] - _ATTACK_SECONDS if bound else lengths[note]
        seconds = min(available, float(random.choice(_LENGTHS, p=_LENGTH_SHARES)))
        start = _ATTACK_SECONDS + float(random.uniform(0.0, available - seconds)) if bound else 0.0
        overlap = 0.0
        if not placed:
            begins = 0.0
        elif until_breath == 0:
            begins = placed[-1].ends + float(random.uniform(*_REST_SECONDS))
            until_breath = int(random.integers(3, 7))
        else:
            overlap = float(random.uniform(*_LEGATO_OVERLAP)) if bound else _DETACHED_OVERLAP
            begins = placed[-1].ends - overlap
        if begins + seconds > longest:
            # What does not fit is given back, unless it is short of the shortest: then it is made to fit.
            if placed[-1].ends >= shortest:
                left[note] += 1
                break
            seconds = longest - begins
        if overlap:
            placed[-1] = replace(placed[-1], fade_out=overlap)
        fade_in = overlap if bound else _ONSET_SECONDS
        placed.append(Placed(note, begins, start, seconds, fade_in, _RELEASE_SECONDS, bound))
        before = note
        until_breath -= 1
        # When all notes were played often enough, this melody is the last, and ends as soon as it may.
        if placed[-1].ends >= (target if left.max() > 0 else shortest):
            break
    return placed


def _next(
    midi: NDArray[np.float64],
    left: NDArray[np.int64],
    before: int,
    random: np.random.Generator,
) -> int:
    """Draw a note: rather a near one, and rather one that was played less than others."""
    open_notes = left > min(0, left.max() - 1)
    weight = np.exp((left - left.max()) / _BALANCE)
    if before >= 0:
        weight = weight * np.exp(-np.abs(midi - midi[before]) / _STEP_SEMITONES)
        weight[before] = 0.0
    # Where only far notes are open, each weight is tiny, and their sum must not be 0.
    weight = np.where(open_notes, np.maximum(weight, 1e-30), 0.0)
    if before >= 0 and open_notes[before]:
        weight[before] = max(_AGAIN * (weight.sum() - weight[before]), 1e-30)
    return int(random.choice(len(midi), p=weight / weight.sum()))
