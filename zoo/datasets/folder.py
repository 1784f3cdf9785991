"""A folder of recordings; the dataset component `folder`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from zoo.datasets.attribution import AttributionIndex
from zoo.datasets.recordings import FileRecording, name_of
from zoo.errors import DatasetError
from zoo.features.audio import AUDIO_SUFFIXES
from zoo.features.sound_files import why_no_file

_log = logging.getLogger(__name__)

_OTHER_AUDIO = (
    *(".aac", ".ac3", ".aifc", ".amr", ".ape", ".au", ".caf", ".m4a", ".m4b", ".mka", ".mp2", ".oga", ".spx", ".w64"),
    *(".wma", ".wv"),
)
"""What may be a recording too, and is not read."""


def folder(path: Path) -> list[FileRecording]:
    """Take every wav, flac, ogg, opus, mp3 and aiff file of a folder and its sub-folders; each is a group of its own.

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
        name = name_of(file, path if path.is_dir() else path.parent)
        found.append(FileRecording(id=name, instrument=instrument, attribution=attribution, path=file))
    return found


def audio_files(path: Path) -> list[Path]:
    """Find the audio files below a folder, hidden ones left out.

    What is named as one but is none (a pipe, a link that leads nowhere, a folder without audio) is among them: reading
    it says why it is left out.

    Args:
        path: The folder, or a single file, which is taken whatever its name.

    Files of other kinds of audio are not, which the log says.

    Raises:
        DatasetError: There is no such folder, or no audio in it.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        what = why_no_file(path)
        raise DatasetError(
            f"{path} is no folder. {what}. Give the folder with your recordings."
            if what and path.exists()
            else f"There is no folder {path}. Give the folder with your recordings."
        )
    visible = [
        file
        for file in sorted(path.rglob("*"))
        if not any(part.startswith((".", "__MACOSX")) for part in file.relative_to(path).parts)
    ]
    inside = [file for file in visible if not file.is_dir()]
    files = [file for file in inside if file.suffix.lower() in AUDIO_SUFFIXES]
    with_audio = {folder for file in files for folder in file.parents}
    folders = {file for file in visible if file.suffix.lower() in AUDIO_SUFFIXES and file.is_dir()} - with_audio
    if files and folders:
        files = sorted([*files, *folders])
    if not files:
        kinds = Counter(file.suffix.lower() or file.name for file in inside).most_common(4)
        holds = ", ".join(f"{count} {kind}" for kind, count in kinds) or "nothing"
        raise DatasetError(
            f"There is no audio in {path} (it holds {holds}). Give a folder with {', '.join(AUDIO_SUFFIXES)} files; "
            "convert others first, for example with ffmpeg."
        )
    _tell_unread(inside)
    return files


def _tell_unread(files: Sequence[Path]) -> None:
    unread = Counter(suffix for file in files if (suffix := file.suffix.lower()) in _OTHER_AUDIO)
    if count := unread.total():
        kinds = " or ".join(sorted(unread))
        one = count == 1
        _log.warning(
            "%d file%s ending in %s %s not read: convert %s to wav or flac.",
            count,
            "" if one else "s",
            kinds,
            "was" if one else "were",
            "it" if one else "them",
        )
