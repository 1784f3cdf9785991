"""Everything that zoo raises on purpose.

A message says what was asked, what was found, and what to type next. Each error is also a child of the built-in that
fits, so that `except LookupError` and the like work as people expect. `exit_code` is what a command ends with: 2 where
the user can mend it, 1 where something failed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class ZooError(Exception):
    """Any error that zoo raises on purpose."""

    exit_code: ClassVar[int] = 2


class ModelNotFoundError(ZooError, LookupError):
    """A model reference means nothing here: no folder, no stored or shipped model, no architecture."""


class PluginError(ZooError, ImportError):
    """A component cannot be had: its plugin is missing, broken, or clashes with another."""


class CheckpointError(ZooError, ValueError):
    """A run's files are missing, damaged, or do not fit each other."""


class ConfigError(ZooError, ValueError):
    """An option, a gin binding or a config.json asks for something that does not exist or does not fit."""


class ForeignConfigError(ConfigError):
    """A config.json is not one that zoo wrote: it belongs to another library, or is no JSON at all."""


class DatasetError(ZooError, ValueError):
    """Recordings or prepared data cannot be used as asked."""


class HubError(ZooError, OSError):
    """The Hugging Face Hub could not be used as asked."""


class HubNotFoundError(HubError, ModelNotFoundError):
    """The Hub has no such repository, revision or file, or does not show it to this login."""


class HubUnreachableError(HubError):
    """The Hub did not answer, or answered that it is in trouble; the same command may work later."""

    exit_code: ClassVar[int] = 1


class InUseError(ZooError, RuntimeError):
    """Another process is using a folder, or a name; the same command may work when that has ended."""

    exit_code: ClassVar[int] = 1


class WorkerLostError(ZooError, RuntimeError):
    """A process or machine that did a part of the work is gone; the same command goes on where it was."""

    exit_code: ClassVar[int] = 1


class ExportError(ZooError, RuntimeError):
    """A model cannot be written in another form, or what was written does not play what the model plays."""

    exit_code: ClassVar[int] = 1


class DeviceError(ZooError, OSError):
    """An audio or MIDI device is missing, refuses what is asked, or went away."""

    exit_code: ClassVar[int] = 1


class TrainingError(ZooError, RuntimeError):
    """A training went wrong by itself: a loss became NaN, for one."""

    exit_code: ClassVar[int] = 1


def near_matches(name: str, known: Iterable[str]) -> str:
    """Say which known names are near `name`, as the end of a sentence; empty when none is.

    >>> near_matches("gru-s", ["gru-S", "tcn-S"])
    ' Did you mean gru-S?'
    """
    folded: dict[str, str] = {}
    for candidate in known:
        folded.setdefault(candidate.casefold(), candidate)
    found = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(folded[match] for match in found)}?" if found else ""


def listing(names: Iterable[str]) -> str:
    """Join names for a message, in order; "none" when there are none."""
    return ", ".join(sorted(names)) or "none"
