"""A folder of recordings; the dataset component `folder`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from zoo.datasets.attribution import AttributionIndex
from zoo.datasets.recordings import FileRecording
from zoo.errors import DatasetError
from zoo.features.audio import AUDIO_SUFFIXES


def folder(path: Path) -> list[FileRecording]:
    """Take every wav, flac, ogg and mp3 file of a folder and its sub-folders; each is a group of its own.

    Args:
        path: The folder, or a single file.

    Returns:
        The recordings, by name.

    Raises:
        DatasetError: There is no such folder, or no audio in it.
    """
    files = audio_files(path)
    index = AttributionIndex(path if path.is_dir() else path.parent)
    found: list[FileRecording] = []
    for file in files:
        attribution, instrument = index.look_up(file)
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        found.append(FileRecording(id=name, instrument=instrument, attribution=attribution, path=file))
    return found


def audio_files(path: Path) -> list[Path]:
    """Find the audio files below a folder, hidden ones left out.

    Args:
        path: The folder, or a single file, which is taken whatever its name.

    Raises:
        DatasetError: There is no such folder, or no audio in it.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DatasetError(f"There is no folder {path}. Give the folder with your recordings.")
    inside = [
        file
        for file in sorted(path.rglob("*"))
        if not file.is_dir() and not any(part.startswith((".", "__MACOSX")) for part in file.relative_to(path).parts)
    ]
    files = [file for file in inside if file.suffix.lower() in AUDIO_SUFFIXES]
    if not files:
        kinds = Counter(file.suffix.lower() or file.name for file in inside).most_common(4)
        holds = ", ".join(f"{count} {kind}" for kind, count in kinds) or "nothing"
        raise DatasetError(
            f"There is no audio in {path} (it holds {holds}). Give a folder with {', '.join(AUDIO_SUFFIXES)} files; "
            "convert others first, for example with ffmpeg."
        )
    return files
