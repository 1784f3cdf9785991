"""Recordings of one player joined to takes; the dataset component `takes`.

Preparing brings each recording to one level. For notes or short figures of one player, recorded one by one from soft to
loud, that takes away what the player did: soft ones become as loud as loud ones. Joined, they keep their levels beside
each other.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from zoo.datasets.folder import folder
from zoo.datasets.recordings import FileRecording, Recording
from zoo.errors import ConfigError, DatasetError

MADE = "recordings of one player joined, so that soft and loud keep their levels"
_FADE_SECONDS = 0.005


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
        """Join the recordings; what cannot be read is an error that names it."""
        silence = torch.zeros(round(self.rest * sample_rate))
        size = max(1, round(_FADE_SECONDS * sample_rate))
        fade = torch.linspace(0.0, 1.0, size)
        parts: list[Tensor] = []
        for file in self.files:
            try:
                audio = file.load(sample_rate).clone()
            except DatasetError as error:
                raise DatasetError(f"{file.id}: {error}") from error
            if len(audio) >= 2 * size:
                audio[:size] *= fade
                audio[-size:] *= fade.flip(0)
            parts += [audio, silence]
        return torch.cat(parts[:-1])

    def seconds(self) -> float | None:
        """Give the take's length, from the files' headers."""
        lengths = [file.seconds() or 0.0 for file in self.files]
        return sum(lengths) + self.rest * (len(lengths) - 1)

    def digest(self, sample_rate: int) -> str:
        """Hash the files and the rests."""
        return hashlib.sha256(json.dumps([[f.digest(sample_rate) for f in self.files], self.rest]).encode()).hexdigest()

    def origins(self) -> list[Recording]:
        """Give the recordings that it was joined from."""
        return list(self.files)


def takes(path: Path, *, seconds: float = 30.0, rest: float = 0.25) -> Iterator[Recording]:
    """Join a folder's recordings to takes, each player's apart.

    A player is an author as an INDEX.tsv names it; without one, a folder. A player's recordings are dealt out to takes
    in turns, so that each take holds something of everything. A recording that is longer than a take stays alone. A
    take is never divided between splits.

    Args:
        path: The folder, laid out as for `folder`.
        seconds: How long takes are, at most; a little more where they share what is left.
        rest: Seconds of silence between two recordings.

    Yields:
        The takes, and the recordings that stay alone.

    Raises:
        ConfigError: An option does not fit.
        DatasetError: There is no such folder, or no audio in it.
    """
    if not seconds > 0 or not rest >= 0:
        raise ConfigError(f"A take lasts more than 0 s, and rests at least 0; seconds is {seconds:g}, rest {rest:g}.")
    players: dict[tuple[str, str], list[FileRecording]] = defaultdict(list)
    for file in folder(path):
        player = file.attribution.get("author") or str(Path(file.id).parent)
        players[player, file.instrument or ""].append(file)
    subsets = {instrument for _, instrument in players}
    for number, ((_, instrument), own) in enumerate(sorted(players.items())):
        short = [file for file in own if (file.seconds() or 0.0) <= seconds]
        yield from (file for file in own if file not in short)
        length = sum((file.seconds() or 0.0) + rest for file in short)
        count = min(len(short), max(1, round(length / seconds)))
        for which in range(count):
            yield Take(
                id=f"player-{number}/take-{which:03d}",
                instrument=instrument or None,
                subset=(instrument or "unknown") if len(subsets) > 1 else "",
                made=MADE,
                files=tuple(short[which::count]),
                rest=rest,
            )
