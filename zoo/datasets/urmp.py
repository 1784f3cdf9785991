"""The URMP dataset as it is published; the dataset component `urmp`.

Source: Li, Liu, Dinesh, Duan, Sharma, "Creating a multitrack classical music performance dataset for multimodal music
analysis" (IEEE Transactions on Multimedia, 2018).
"""

from __future__ import annotations

import re
from pathlib import Path

from zoo.datasets.attribution import AttributionIndex
from zoo.datasets.recordings import FileRecording, Recording, name_of
from zoo.errors import DatasetError

# The instruments' short names in file names.
INSTRUMENTS = {"vn": "violin", "fl": "flute", "tpt": "trumpet"}
# AuSep_<track>_<instrument>_<piece's number>_<piece>.wav
_NAME = re.compile(rf"AuSep_[^_]+_({'|'.join(INSTRUMENTS)})_.*\.wav", re.IGNORECASE)


def urmp(path: Path) -> list[Recording]:
    """Take the separate tracks of violin, flute and trumpet: one dataset for each, and no piece in two splits.

    Args:
        path: The published folder, with one folder for each piece.

    Returns:
        The recordings, by name.

    Raises:
        DatasetError: There are no such tracks.
    """
    index = AttributionIndex(path)
    found: list[Recording] = []
    for file in sorted(path.glob("*/AuSep_*")) if path.is_dir() else []:
        if match := _NAME.fullmatch(file.name):
            instrument = INSTRUMENTS[match[1].lower()]
            attribution, _ = index.look_up(file)
            found.append(
                FileRecording(
                    id=name_of(file, path),
                    instrument=instrument,
                    group=name_of(file.parent, path),
                    subset=instrument,
                    attribution=attribution or {"source": "URMP"},
                    path=file,
                )
            )
    if not found:
        what = "It is not there" if not path.exists() else "There are no such files in it"
        raise DatasetError(
            f"{path} is not the URMP dataset: its tracks are */AuSep_*_{{vn,fl,tpt}}_*.wav. {what}. "
            "Give the folder that holds one folder for each piece; for other recordings leave out --dataset urmp."
        )
    return found
