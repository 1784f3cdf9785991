"""The folder that a run writes: choosing it, having it to oneself, and whether its run came to its end."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shlex import quote

from zoo.checks.text_files import read_json
from zoo.errors import CheckpointError, ConfigError, InUseError, ZooError
from zoo.storage.config import read_config
from zoo.storage.files import write_atomically
from zoo.storage.locks import IN_USE, hold
from zoo.storage.run_files import CONFIG, WEIGHTS
from zoo.training.checkpoints import LAST

_ASSISTANTS = ("assistants", "via")  # the second in runs from before 2026-12
_DONE = "checkpoints/done.json"

_RECORDS = {"config.gin", "operative.gin"}  # all that a run writes before it trains
_FIRST = {WEIGHTS, CONFIG, "history.csv"}  # what the validation before the first step leaves
_HALF_WRITTEN = re.compile(r"(.*/)?\.(config|operative|model|history|last)-[0-9a-z_]{8}\.\w+")


@contextmanager
def claimed_folder(
    out: str | Path | None, *, name: str, resume: bool, doing: str, held: bool = False
) -> Iterator[Path]:
    """Choose the folder of a run and keep all others out of it; where it fails before its first step, none is left.

    Args:
        out: As asked for; None for `runs/<name>`, made unique.
        name: Of the model.
        resume: Whether a run that is there goes on.
        doing: What others are told who want the same folder: "training gru-S-flute".
        held: Whether it is had already: for its assistants, or by the first of several processes.

    Raises:
        ConfigError: Something is there that would be overwritten, or nothing is there to resume.
        CheckpointError: Nothing in it can be resumed.
        InUseError: Another process has it.
    """
    folder = _asked_for(out, resume=resume)
    if held:
        yield folder or _unused(name)
        return
    with ExitStack() as stack:
        while folder is None:
            chosen = _unused(name)
            try:
                stack.enter_context(hold(chosen, doing=doing, advice="say --out"))
            except InUseError:  # another run has just chosen the same
                continue
            if has_begun(chosen):  # and one that chose it came to its end meanwhile
                stack.close()
                continue
            folder = chosen
        if out is not None:
            advice = "stop it first: it can be resumed" if resume else "take another --out"
            stack.enter_context(hold(folder, doing=doing, advice=advice))
            (_check_resumable if resume else _check_empty)(folder)
        if not resume:
            clear(folder)
            stack.push(lambda kind, error, trace: _clear_failed(folder, failed=kind is not None))
        yield folder


def assistants_folder(folder: Path) -> Path:
    """Where the runs of a student's assistants are, within its own run."""
    return next((folder / name for name in _ASSISTANTS if (folder / name).is_dir()), folder / _ASSISTANTS[0])


def mark_done(folder: Path, *, asked: int, steps: int) -> None:
    """Write checkpoints/done.json, the last thing that a run does, so that nobody need look at it again.

    Args:
        folder: The run.
        asked: Steps that it was to take at most.
        steps: Steps that it took.
    """
    write_atomically(folder / _DONE, json.dumps({"asked": asked, "steps": steps}) + "\n")


def clear_done(folder: Path) -> None:
    """Take that back: the run goes on."""
    (folder / _DONE).unlink(missing_ok=True)


def clear_results(folder: Path) -> None:
    """Remove what a run's weights measured and sound like: they are about to be replaced."""
    made = [folder / "metrics.json", folder / "plots" / "spectrograms.png", *(folder / "samples").glob("phrase*_*.wav")]
    for path in made:
        path.unlink(missing_ok=True)


def is_done(folder: Path, *, steps: int = 0) -> bool:
    """Whether a run came to its end.

    Args:
        folder: The run; it may be missing.
        steps: It must have been asked for that many at least.
    """
    try:
        known = read_json(folder / _DONE, error=CheckpointError, fix="")
        return isinstance(known, dict) and int(known["asked"]) >= steps
    except (CheckpointError, ValueError, TypeError, KeyError):
        return False


def has_begun(folder: Path, *, ours: bool = False) -> bool:
    """Whether a folder holds anything to keep: a run with a step done, or what a person has put there.

    Args:
        folder: It may be missing.
        ours: Whether zoo has chosen it, so that nobody puts files of their own there.
    """
    if not folder.is_dir():
        return False
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    names = {name for name in names if name != IN_USE and not _HALF_WRITTEN.fullmatch(name)}
    if not names:
        return False
    # zoo writes both records; one alone may be somebody's own
    if (len(names & _RECORDS) == 1 and not ours) or not names <= _RECORDS | _FIRST:
        return True
    if CONFIG not in names:  # the weights are written before it
        return not names & _RECORDS
    return not _untrained(folder)


def can_resume(folder: Path) -> bool:
    """Whether a folder holds a run, or those of its assistants, that can go on."""
    return (folder / LAST).is_file() or assistants_folder(folder).is_dir()


def clear(folder: Path) -> None:
    """Remove what a run that has not begun left in its folder, all but its lock."""
    for path in folder.iterdir():
        if path.name in (LAST.partition("/")[0], *_ASSISTANTS):
            shutil.rmtree(path)
        elif path.name in _RECORDS | _FIRST or _HALF_WRITTEN.fullmatch(path.name):
            path.unlink()


def _untrained(folder: Path) -> bool:
    try:
        return bool(read_config(folder).lineage.get("training", {}).get("best_step") == 0)
    except (ZooError, OSError, AttributeError):
        return False


def _clear_failed(folder: Path, *, failed: bool) -> None:
    if failed and not has_begun(folder):
        clear(folder)


def _asked_for(out: str | Path | None, *, resume: bool) -> Path | None:
    if out is None:
        if resume:
            raise ConfigError("Say which run to resume: --resume --out runs/NAME")
        return None
    folder = Path(out).expanduser()
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; --out names a folder to make.")
    if resume and not folder.is_dir():
        raise ConfigError(f"There is no run {folder} to resume.")
    return folder


def _check_empty(folder: Path) -> None:
    if has_begun(folder):
        ways = f"Go on with it (--resume --out {quote(str(folder))}), or take" if can_resume(folder) else "Take"
        raise ConfigError(f"{folder} is not empty, and nothing in it is overwritten. {ways} another --out.")


def _check_resumable(folder: Path) -> None:
    if not can_resume(folder):
        anew = ", with another --out" if has_begun(folder) else " by its first command, without --resume"
        raise CheckpointError(f"{folder} has no {LAST}, so it cannot be resumed. Start it anew{anew}.")


def _unused(name: str) -> Path:
    folder, number = Path("runs") / name, 2
    while folder.exists():
        folder, number = Path("runs") / f"{name}-{number}", number + 1
    return folder
