"""The folder that a run writes: choosing it, and entering it into the local store."""

from __future__ import annotations

import shutil
from pathlib import Path

from zoo import naming, paths
from zoo.errors import ConfigError
from zoo.files import new_folder

PUBLISHED = (
    "model.safetensors",
    "config.json",
    "README.md",
    "metrics.json",
    "config.gin",
    "operative.gin",
    "history.csv",
    "samples",
    "plots",
)
"""What of a run is shown to others; checkpoints stay where they are."""


def choose_folder(out: str | Path | None, *, name: str, resume: bool) -> Path:
    """The folder of a run; nothing is made yet.

    Args:
        out: As asked for; None for `runs/<name>`, made unique.
        name: Of the model.
        resume: Whether a run that is there goes on.

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
    if not resume and folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(
            f"{folder} is not empty, and nothing in it is overwritten. Go on with it (--resume --out {folder}), or "
            "take another --out."
        )
    return folder


def check_store_name(name: str, *, architecture: str, force: bool) -> None:
    """Make sure that a run may enter the local store under a name, before hours are spent on it.

    Raises:
        ConfigError: The name is of another architecture, or taken.
        ModelNotFoundError: It begins with no architecture.
    """
    named, instrument = naming.parse_name(name)
    if named != architecture or instrument is None:
        raise ConfigError(f"--name {name}: this model is a {architecture}; call it {architecture}-INSTRUMENT.")
    if (paths.store_folder() / name).exists() and not force:
        raise ConfigError(
            f"The local store already has a model {name} ({paths.store_folder() / name}). Replace it with --force, or "
            "take another --name."
        )


def enter_store(run: Path, name: str) -> Path:
    """Copy what is shown of a run into the local store; a model of that name is replaced when the copy is whole."""
    target = paths.store_folder() / name
    with new_folder(target) as folder:
        for item in PUBLISHED:
            source = run / item
            if source.is_dir():
                shutil.copytree(source, folder / item)
            elif source.is_file():
                shutil.copyfile(source, folder / item)
    return target
