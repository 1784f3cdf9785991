"""What other runtimes play of a model: `export.json` beside its weights, and the files in `exports/` that it names.

`export.json` is `{"weights_sha256": ..., "exports": {EXPORTER: REPORT}}`. A report is what `zoo.export` writes beside a
file, with `files`, the SHA-256 of each file that lies here, by its name. Exports of other weights than those beside
them count as none.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.checks.text_files import read_json
from zoo.errors import CheckpointError
from zoo.storage.config import read_config
from zoo.storage.files import file_hash, write_atomically
from zoo.storage.results import is_number
from zoo.storage.run_files import EXPORTS, EXPORTS_FOLDER, WEIGHTS, is_export, published_files

_FIX = "Remove it, or make it anew: zoo card RUN --exports all"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Exported:
    """What an exporter made of a model.

    Attributes:
        size_bytes: Of its file.
        latency_samples: That its audio is late.
        largest_difference: From the model's audio, in any sample.
        microseconds: A block's median time, by its frames, on one thread.
        machine: That measured the time.
        files: SHA-256 of the files that lie beside the model, by their names within its folder.
    """

    size_bytes: int
    latency_samples: int
    largest_difference: float
    microseconds: Mapping[int, float]
    machine: str
    files: Mapping[str, str] = field(default_factory=dict)

    def facts(self, sample_rate: int) -> tuple[str, str, str, str]:
        """As text: kB, milliseconds late, largest difference, microseconds per frame in the smallest block."""
        frames = min(self.microseconds, default=0)
        return (
            f"{self.size_bytes / 1e3:,.0f}",
            f"{1e3 * self.latency_samples / sample_rate:.3g}",
            f"{self.largest_difference:.1e}",
            f"{self.microseconds[frames] / frames:,.0f}" if frames else "",
        )


def read_exports(folder: Path) -> dict[str, Exported]:
    """What is known of a model's exports, by exporter; empty where there are none of these weights.

    Raises:
        CheckpointError: `export.json` is damaged.
    """
    path = folder / EXPORTS
    if not path.exists():
        return {}
    content = read_json(path, error=CheckpointError, fix=_FIX)
    if not isinstance(content, dict) or not isinstance(content.get("exports"), dict):
        raise CheckpointError(f'{path} is not {{"weights_sha256": ..., "exports": {{...}}}}. {_FIX}')
    found = {str(name): _exported(report, f"{path}: {name!r}") for name, report in content["exports"].items()}
    weights = _weights(folder)
    return found if weights and content.get("weights_sha256") == weights else {}


def write_exports(folder: Path, weights_from: Path, reports: Mapping[str, Mapping[str, Any]]) -> None:
    """Write `export.json`.

    Args:
        folder: Where it goes.
        weights_from: The model's folder.
        reports: As `zoo.export` writes them, with `files`.
    """
    content = {"weights_sha256": _weights(weights_from), "exports": reports}
    write_atomically(folder / EXPORTS, json.dumps(content, indent=2) + "\n")


def check_exports(folder: Path) -> None:
    """Make sure that the files of exports are those that `export.json` names.

    Raises:
        CheckpointError: One is missing, changed, or not named there, or they are of other weights.
    """
    expected = {name: digest for exported in read_exports(folder).values() for name, digest in exported.files.items()}
    there = {
        f"{EXPORTS_FOLDER}/{path.name}": path
        for path in folder.glob(f"{EXPORTS_FOLDER}/*")
        if is_export(f"{EXPORTS_FOLDER}/{path.name}")
    }
    fix = "Fetch the model again, or tell its owner: zoo push RUN REPO --with player"
    for name, digest in expected.items():
        if name not in there:
            raise CheckpointError(f"{folder} has no {name}, which its {EXPORTS} names. {fix}")
        if file_hash(there[name]) != digest:
            raise CheckpointError(f"{there[name]} has been changed: its {EXPORTS} names another SHA-256. {fix}")
    if strange := sorted(there.keys() - expected.keys()):
        raise CheckpointError(f"{folder} has {strange[0]}, which no {EXPORTS} of these weights names. {fix}")


def replace_exports(folder: Path, exports: Path) -> None:
    """Put other exports in place of all that are there.

    Args:
        folder: A copy of a model's: files are deleted.
        exports: A folder with `export.json` and `exports/`; links out of it are left out.
    """
    for name in published_files(folder):
        if is_export(name):
            (folder / name).unlink()
    for name, path in published_files(exports).items():
        if is_export(name):
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, folder / name)


def _weights(folder: Path) -> str | None:
    """The hash of a model's weights; None where there are none."""
    known = read_config(folder).weights_sha256
    return known or (file_hash(folder / WEIGHTS) if (folder / WEIGHTS).is_file() else None)


def _exported(report: Any, where: str) -> Exported:  # noqa: ANN401 - whatever was in the file
    report = report if isinstance(report, dict) else {}
    files, times = report.get("files", {}), report.get("microseconds_per_block")
    if not (
        isinstance(files, dict)
        and all(is_export(name) and _SHA256.fullmatch(str(digest)) for name, digest in files.items())
        and isinstance(times, dict)
        and all(frames.isdecimal() and 0 < int(frames[:5]) < 10000 for frames in times)
        and all(map(is_number, times.values()))
        and all(type(report.get(name)) is int and 0 <= report[name] < 2**40 for name in ("bytes", "latency_samples"))
        and is_number(report.get("largest_difference"))
    ):
        raise CheckpointError(f"{where} is no export's report. {_FIX}")
    return Exported(
        size_bytes=report["bytes"],
        latency_samples=report["latency_samples"],
        largest_difference=report["largest_difference"],
        microseconds={int(frames): value for frames, value in times.items()},
        machine=str(report.get("machine", ""))[:100],
        files=files,
    )
