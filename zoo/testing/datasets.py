"""The check of a dataset component."""

from __future__ import annotations

import itertools
import pickle
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo import registry
from zoo.datasets import Recording
from zoo.errors import DatasetError
from zoo.testing.contract import Subject

_HOP = 64
_SLACK_SECONDS = 0.1  # how far a file's header may be from what it holds


def check_dataset(
    dataset: str | Callable[..., Iterable[Recording]],
    path: str | Path | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    sample_rate: int = 16000,
    recordings: int = 3,
) -> None:
    """Make sure that a dataset component does what `zoo prepare` relies on.

    Checked: that it gives recordings, with ids that are unique and the same twice; that they can be handed to other
    processes; that audio is float32 `[samples]` at the rate that is asked for, as long as they say; that the digest is
    stable; that a known pitch has a value per frame.

    Example:
        >>> check_dataset("tones", options={"phrases": 2, "seconds": 1.0})

    Args:
        dataset: A registered name, or the function.
        path: The folder that it reads; a small one, with a few short recordings.
        options: Its own options.
        sample_rate: In Hz.
        recordings: How many are loaded; of the others only the names are looked at.

    Raises:
        AssertionError: It breaks a promise, which the message tells beside what was found.
        ConfigError: There is no dataset of that name.
    """
    subject = Subject(registry.datasets, dataset)
    arguments = [] if path is None else [Path(path)]
    with subject.promises("It is called with the folder and its own options, and gives recordings."):
        found, again = (list(subject.component(*arguments, **(options or {}))) for _ in range(2))
    subject.require(bool(found), "It gives at least one recording.", "none")
    for recording in found:
        subject.require(
            isinstance(recording, Recording),
            "It gives objects of a class that extends zoo.datasets.Recording.",
            type(recording).__name__,
        )
    _check_ids(subject, found, again)
    for recording in itertools.islice(found, recordings):
        _check_recording(subject, recording, sample_rate)


def _check_ids(subject: Subject, found: list[Recording], again: list[Recording]) -> None:
    ids, others = ([(recording.subset, recording.id) for recording in listed] for listed in (found, again))
    twice = sorted({each for each in ids if ids.count(each) > 1})
    subject.require(not twice, "Ids are unique within a subset.", f"twice: {twice}")
    subject.require(sorted(ids) == sorted(others), "Ids are the same from call to call.", f"{ids} and {others}")
    for recording in found:
        strange = [key for pair in recording.attribution.items() for key in pair if not isinstance(key, str)]
        subject.require(not strange, f"The attribution of {recording.id} is text by name.", strange)


def _check_recording(subject: Subject, recording: Recording, sample_rate: int) -> None:
    name = recording.id
    with subject.promises(f"{name} can be pickled, for other processes: it holds a path, not a file or samples."):
        copy: Recording = pickle.loads(pickle.dumps(recording))
    audio = _load(subject, recording, sample_rate)
    same = torch.equal(_load(subject, copy, sample_rate), audio)
    subject.require(same, f"{name} gives the same audio again, out of a pickled copy too.", "other samples")
    half = _load(subject, recording, sample_rate // 2)
    apart = abs(len(half) / (sample_rate // 2) - len(audio) / sample_rate)
    subject.require(
        apart <= _SLACK_SECONDS,
        f"load(sample_rate) gives {name} at the rate that is asked for: as long in seconds at each.",
        f"{len(audio)} samples at {sample_rate} Hz, {len(half)} at {sample_rate // 2} Hz",
    )
    seconds = recording.seconds()
    subject.require(
        seconds is None or abs(seconds - len(audio) / sample_rate) <= _SLACK_SECONDS,
        f"seconds() gives the length of {name}, or None.",
        f"{seconds} s, and {len(audio) / sample_rate} s of audio",
    )
    digests = [each.digest(sample_rate) for each in (recording, copy)]
    subject.require(
        digests[0] == digests[1] and re.fullmatch("[0-9a-f]{64}", digests[0]) is not None,
        f"digest(sample_rate) gives the same SHA-256 for {name} each time, as 64 hexadecimal digits.",
        digests,
    )
    _check_pitch(subject, recording, audio, sample_rate)


def _load(subject: Subject, recording: Recording, sample_rate: int) -> Tensor:
    try:
        with subject.promises(f"load({sample_rate}) gives the audio of {recording.id}."):
            audio = recording.load(sample_rate)
    except AssertionError as error:
        if isinstance(error.__cause__, DatasetError):
            raise error.__cause__ from None  # a recording that cannot be read is no fault of the component's
        raise
    subject.require(isinstance(audio, Tensor), "load gives a tensor.", type(audio).__name__)
    subject.require_tensor(audio, (audio.numel(),), f"The audio of {recording.id} ([samples])", torch.float32)
    subject.require(audio.numel() > 0, f"The audio of {recording.id} is not empty.", "no samples")
    return audio


def _check_pitch(subject: Subject, recording: Recording, audio: Tensor, sample_rate: int) -> None:
    f0_hz = recording.known_f0(sample_rate, _HOP)
    if f0_hz is None:
        return
    subject.require_tensor(f0_hz, (f0_hz.numel(),), f"known_f0 of {recording.id} ([frames])", torch.float32)
    subject.require(
        abs(len(f0_hz) - len(audio) // _HOP) <= 1,
        f"known_f0(sample_rate, hop) gives {recording.id} a value for each hop samples, {len(audio) // _HOP}.",
        len(f0_hz),
    )
    lowest, highest = float(f0_hz.min()), float(f0_hz.max())
    subject.require(
        lowest >= 0 and highest < sample_rate / 2,
        "Pitch is in Hz, 0 where unvoiced, and under half the sample rate.",
        f"from {lowest} to {highest}",
    )
