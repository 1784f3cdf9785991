"""Recordings of one player joined to takes; the dataset component `takes`.

Preparing brings each recording to one level. For notes or short figures of one player, recorded one by one from soft to
loud, that takes away what the player did: soft ones become as loud as loud ones. Joined, they keep their levels beside
each other.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from zoo.datasets.folder import folder
from zoo.datasets.recordings import FileRecording, Recording, UnusedRecording
from zoo.errors import ConfigError, DatasetError
from zoo.features.audio import read_recording

MADE = "recordings of one player joined, so that soft and loud keep their levels"
_FADE_SECONDS = 0.005
_RATE = 16000  # that copies are found at


@dataclass(frozen=True)
class Take(Recording):
    """Recordings one after another, joined when they are loaded.

    Attributes:
        files: The recordings.
        rest: Seconds of silence between two.
    """

    files: tuple[FileRecording, ...] = ()
    rest: float = 0.25

    def load(self, sample_rate: int) -> Tensor:
        """Join the recordings that can be read."""
        return self.read(sample_rate)[0]

    def read(self, sample_rate: int) -> tuple[Tensor, tuple[str, ...]]:
        """As `Recording.read`: what is odd about one of the recordings is told with its name, be it left out."""
        silence = torch.zeros(round(self.rest * sample_rate))
        size = max(1, round(_FADE_SECONDS * sample_rate))
        fade = torch.linspace(0.0, 1.0, size)
        parts: list[Tensor] = []
        notes: list[str] = []
        left_out: list[str] = []
        for file in self.files:
            try:
                audio, told = file.read(sample_rate)
            except DatasetError as error:
                left_out.append(f"{file.id}: {str(error).split('. ')[0].rstrip('.')}")
                continue
            notes += [f"{file.id}: {note}" for note in told]
            audio = audio.clone()
            if len(audio) >= 2 * size:
                audio[:size] *= fade
                audio[-size:] *= fade.flip(0)
            parts += [audio, silence]
        if not parts:
            raise DatasetError("; ".join(left_out))
        return torch.cat(parts[:-1]), (*(f"{each}, and is left out" for each in left_out), *notes)

    def seconds(self) -> float | None:
        """Give the take's length, from the files' headers."""
        lengths = [file.seconds() or 0.0 for file in self.files]
        return sum(lengths) + self.rest * (len(lengths) - 1)

    def digest(self, sample_rate: int) -> str:
        """Hash the files and the rests."""
        digests: list[str | None] = []
        for file in self.files:
            try:
                digests.append(file.digest(sample_rate))
            except (DatasetError, OSError):  # it is left out
                digests.append(None)
        return hashlib.sha256(json.dumps([digests, self.rest]).encode()).hexdigest()

    def origins(self) -> list[Recording]:
        """Give the recordings that it was joined from."""
        return list(self.files)


def takes(path: Path, *, seconds: float = 30.0, rest: float = 0.25) -> Iterator[Recording]:
    """Join a folder's recordings to takes, each player's apart.

    A player is an author as an INDEX.tsv names it; without one, a folder. A player's recordings are dealt out to takes
    in turns, so that each take holds something of everything. A recording that is longer than a take stays alone.
    Of three takes or more, none is divided between splits.

    Args:
        path: The folder, laid out as for `folder`.
        seconds: How long takes are, at most; a little more where they share what is left.
        rest: Seconds of silence between two recordings.

    Yields:
        The takes, the recordings that stay alone, and copies of others, which are left out.

    Raises:
        ConfigError: An option does not fit.
        DatasetError: There is no such folder, or no audio in it.
    """
    if not seconds > 0 or not rest >= 0:
        raise ConfigError(f"A take lasts more than 0 s, and rests at least 0; seconds is {seconds:g}, rest {rest:g}.")
    players: dict[tuple[str, str], list[FileRecording]] = defaultdict(list)
    found = folder(path)
    copies = _copies(found)
    for file in found:
        if file.id in copies:
            continue
        player = file.attribution.get("author") or str(Path(file.id).parent)
        players[player, file.instrument or ""].append(file)
    instruments = {instrument for _, instrument in players}

    def subset(instrument: str | None) -> str:
        return (instrument or "unknown") if len(instruments) > 1 else ""

    for file in found:
        if original := copies.get(file.id):
            reason, where = f"the same as {original.id}", subset(original.instrument)
            yield UnusedRecording(file.id, file.instrument, subset=where, reason=reason, path=file.path)
    for number, ((_, instrument), own) in enumerate(sorted(players.items())):
        short = [file for file in own if (file.seconds() or 0.0) <= seconds]
        yield from (replace(file, subset=subset(instrument)) for file in own if file not in short)
        length = sum((file.seconds() or 0.0) + rest for file in short)
        count = min(len(short), max(1, round(length / seconds)))
        for which in range(count):
            yield Take(
                id=f"player-{number}/take-{which:03d}",
                instrument=instrument or None,
                subset=subset(instrument),
                made=MADE,
                files=tuple(short[which::count]),
                rest=rest,
            )


def _copies(files: Sequence[FileRecording]) -> dict[str, FileRecording]:
    """What recordings are copies of, by their ids: an earlier one has the same samples, be it in another format.

    In two takes, a recording could be in two splits.
    """
    lengths = [file.seconds() for file in files]
    often = Counter(lengths)
    first: dict[str, FileRecording] = {}
    copies: dict[str, FileRecording] = {}
    for file, length in zip(files, lengths, strict=True):
        if often[length] == 1:  # nothing can be the same, and it need not be read
            continue
        with suppress(DatasetError, OSError):  # why it cannot be read is told where it is played
            samples = read_recording(file.path, sample_rate=_RATE).audio
            original = first.setdefault(hashlib.sha256(samples.numpy().tobytes()).hexdigest(), file)
            if original is not file:
                copies[file.id] = original
    return copies
