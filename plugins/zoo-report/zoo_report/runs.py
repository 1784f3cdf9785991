"""The runs that a report shows, and what each of them holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo import resolve
from zoo.storage import CONFIG, ModelInfo, SeedResults, describe_folder, read_seeds, teachers_of
from zoo.training import Row, read_history

ROLES = ("recording", "teacher", "student")

_SAMPLE = re.compile(rf"phrase(?P<number>[1-9]\d{{0,3}})_(?P<role>{'|'.join(ROLES)})\.wav")
_LOCAL = "local-dir:"
_MOST_ROWS = 2000  # of a history: more than a picture has points


@dataclass(frozen=True)
class Run:
    """A run as a report sees it.

    Attributes:
        label: What the page calls it: the shortest end of its path that no other run has, or its name.
        known: What config.json, the weights' header and metrics.json say.
        where: How it was found: the folder as given, or a name and whose it is.
        history: Rows of history.csv.
        samples: Its sound files, by phrase and role ("recording", "teacher", "student").
    """

    label: str
    known: ModelInfo
    where: str
    history: Sequence[Row]
    samples: dict[int, dict[str, Path]]

    @property
    def distilled(self) -> bool:
        """Whether it had a teacher."""
        return bool(teachers_of(self.known.config))

    @property
    def kind(self) -> str:
        """What its own sound and its own measures are those of."""
        return "student, distilled" if self.distilled else "trained without a teacher"

    @property
    def teacher(self) -> str:
        """Its teacher's name; empty without one."""
        return str(teachers_of(self.known.config)[0].get("name") or "unnamed") if self.distilled else ""

    def missing(self) -> list[str]:
        """What cannot be shown of it, and what would make it."""
        found = []
        if self.known.size_bytes is None:
            found.append("There are no weights in its folder.")
        if not self.known.metrics:
            found.append("It is not measured yet: zoo evaluate RUN --data DATASET")
        if not self.history:
            found.append("There is no history.csv, so there is no curve of its losses.")
        if not self.samples:
            found.append("It holds no samples, so it cannot be heard. A training leaves them when it comes to its end.")
        elif self.distilled and not any("teacher" in roles for roles in self.samples.values()):
            found.append("Its samples lack the teacher.")
        return found


@dataclass(frozen=True)
class Comparison:
    """What `zoo compare` found over several seeds.

    Attributes:
        label: Its folder's name.
        summary: Content of compare.json, by metric.
    """

    label: str
    summary: dict[str, SeedResults]


def find_runs(references: Iterable[str]) -> tuple[list[Run], list[Comparison]]:
    """Find the runs of a report.

    Args:
        references: Folders, names or Hub ids, as all commands take them; also folders of runs, such as `zoo compare`
            and `zoo grid` make them: then the runs in it.

    Returns:
        The runs, each once, in the order given; and the comparisons among the folders.

    Raises:
        ModelNotFoundError: A reference means nothing here.
        CheckpointError: A folder is no run, or its files are damaged.
    """
    found: dict[Path, tuple[str, resolve.ResolvedModel | None]] = {}
    comparisons = {}
    for reference in references:
        if inside := runs_inside(reference):
            for folder in inside:
                found.setdefault(folder.resolve(), (str(folder), None))
            if (summary := inside[0].parent / "compare.json").is_file():
                comparisons[summary.resolve()] = Comparison(_name_of(summary.parent), read_seeds(summary))
        else:
            one = resolve.find(reference, every_file=True)
            found.setdefault(one.folder.resolve(), (reference, one))
    labels = _labels([_parts(folder, one) for folder, (_, one) in found.items()])
    runs = [
        _read(folder, label, _where(given, one))
        for label, (folder, (given, one)) in zip(labels, found.items(), strict=True)
    ]
    return runs, list(comparisons.values())


def runs_inside(reference: str) -> list[Path]:
    """The runs in a folder that is none itself; empty for any other reference."""
    folder = Path(reference.removeprefix(_LOCAL)).expanduser()
    if not reference or not folder.is_dir() or (folder / CONFIG).is_file():
        return []
    return sorted((path for path in folder.iterdir() if (path / CONFIG).is_file()), key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    """So that seed10 comes after seed9."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", path.name)]


def _name_of(folder: Path) -> str:
    return folder.resolve().name


def _parts(folder: Path, found: resolve.ResolvedModel | None) -> tuple[str, ...]:
    if found is None or found.source == "folder":
        return folder.parts
    return (found.reference.text,)


def _labels(paths: Sequence[tuple[str, ...]]) -> list[str]:
    """The shortest ends of paths that tell them apart."""
    for depth in range(1, max(map(len, paths), default=1) + 1):
        labels = ["/".join(parts[-depth:]) for parts in paths]
        unique = [label if labels.count(label) == 1 else None for label in labels]
        if None not in unique:
            break
    return labels if paths else []


def _where(given: str, found: resolve.ResolvedModel | None) -> str:
    """As it was given: a page that is passed on need not tell where on this machine things are."""
    if found is None or found.source == "folder":
        return given
    return f"{given} (on the Hub, commit {found.commit})" if found.source == "hub" else f"{given} ({found.source})"


def _read(folder: Path, label: str, where: str) -> Run:
    history = folder / "history.csv"
    return Run(
        label,
        describe_folder(folder),
        where,
        read_history(history, most_rows=_MOST_ROWS) if history.exists() else [],
        _samples(folder / "samples"),
    )


def _samples(folder: Path) -> dict[int, dict[str, Path]]:
    found: dict[int, dict[str, Path]] = {}
    for path in folder.glob("*.wav"):
        if match := _SAMPLE.fullmatch(path.name):
            found.setdefault(int(match["number"]), {})[match["role"]] = path
    return dict(sorted(found.items()))
