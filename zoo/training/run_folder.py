"""The folder that a run writes: choosing it."""

from __future__ import annotations

from pathlib import Path

from zoo.errors import ConfigError


def choose_folder(out: str | Path | None, *, name: str, resume: bool, within: bool = False) -> Path:
    """The folder of a run; nothing is made yet.

    Args:
        out: As asked for; None for `runs/<name>`, made unique.
        name: Of the model.
        resume: Whether a run that is there goes on.
        within: Whether the folder has been looked at: for a chain, or by the first of several processes.

    Raises:
        ConfigError: Something is there that would be overwritten, or nothing is there to resume.
    """
    if out is None:
        if resume:
            raise ConfigError("Say which run to resume: --resume --out runs/NAME")
        folder, number = Path("runs") / name, 2
        while folder.exists():
            folder, number = Path("runs") / f"{name}-{number}", number + 1
        return folder
    folder = Path(out).expanduser()
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; --out names a folder to make.")
    if resume and not folder.is_dir():
        raise ConfigError(f"There is no run {folder} to resume.")
    if not resume and not within and folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(
            f"{folder} is not empty, and nothing in it is overwritten. Go on with it (--resume --out {folder}), or "
            "take another --out."
        )
    return folder
