"""How results are shown: an aligned table, CSV, and Markdown for a page; and what machine they are from."""

from __future__ import annotations

import csv
import io
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from importlib import metadata
from pathlib import Path

import torch

from zoo_kernels.bench.measuring import Row

BEGIN, END = "<!-- figures of zoo_kernels.bench -->", "<!-- end of the figures -->"


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _megabytes(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _ratio(value: float) -> str:
    return f"{value:.0f} x" if value >= 10 else f"{value:.2g} x"


def _pair(write: Callable[[float], str], *values: float | None) -> str:
    return " / ".join("-" if value is None else write(value) for value in values) if set(values) != {None} else ""


# heading -> a row's cell
_COLUMNS: dict[str, Callable[[Row], str]] = {
    "case": lambda row: row.case,
    "backend": lambda row: row.backend,
    "device": lambda row: row.device,
    "threads": lambda row: str(row.threads) if row.device == "cpu" else "",
    "forward ms": lambda row: _pair(_ms, row.forward_ms),
    "backward ms": lambda row: _pair(_ms, row.backward_ms),
    "faster": lambda row: _pair(_ratio, row.total_ratio),
    "forward / backward": lambda row: _pair(_ratio, row.forward_ratio, row.backward_ratio),
    "peak MB": lambda row: _pair(_megabytes, row.peak_mb),
    "error": lambda row: _pair(lambda value: f"{value:.1e}", row.error),
    "gradient's": lambda row: _pair(lambda value: f"{value:.1e}", row.gradient_error),
    "dB at 4 s / 10 min": lambda row: _pair(lambda value: f"{value:.0f}", row.db_4s, row.db_10min),
}
_WORDS = 3  # columns that are set flush left


def machine() -> str:
    """What the figures depend on: processor, system and versions, in one line."""
    parts = [_processor(), f"{os.cpu_count()} cores"]
    if torch.cuda.is_available():
        parts.append(f"{torch.cuda.get_device_name()} (CUDA {torch.version.cuda})")
    parts += [platform.system(), f"Python {platform.python_version()}"]
    for package in ("torch", "numba", "numpy", "triton", "pykeops"):
        try:
            parts.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    if hasattr(os, "getloadavg"):
        parts.append(f"load {os.getloadavg()[0]:.1f} before the run")
    return ", ".join(parts)


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        found: dict[str, str] = {}
        for line in information.read_text().splitlines():
            name, _, value = line.partition(":")
            found.setdefault(name.strip(), value.strip())
        if "model name" in found:
            widest = next((name for name in ("avx512f", "avx2") if name in found.get("flags", "").split()), "")
            family = f"family {found.get('cpu family', '?')} model {found.get('model', '?')}"
            return f"{found['model name']} ({', '.join(part for part in (family, widest) if part)})"
    return platform.processor() or platform.machine()


def _by_kernel(rows: Sequence[Row]) -> Iterator[tuple[str, list[list[str]]]]:
    """Each kernel, and its lines as cells, headings first; columns without any figure are left out."""
    for kernel in dict.fromkeys(row.kernel for row in rows):
        own = [row for row in rows if row.kernel == kernel and not row.note]
        used = {name: cell for name, cell in _COLUMNS.items() if any(cell(row) for row in own)}
        yield kernel, [list(used), *([cell(row) for cell in used.values()] for row in own)]


def _notes(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(f"{row.kernel}, {row.backend}: {row.note}" for row in rows if row.note))


def as_text(rows: Sequence[Row]) -> str:
    """An aligned table for each kernel, and why backends are missing from them."""
    shown = []
    for kernel, lines in _by_kernel(rows):
        shown += [kernel, ""]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            cells = zip(line, widths, strict=True)
            aligned = [f"{cell:<{w}}" if i < _WORDS else f"{cell:>{w}}" for i, (cell, w) in enumerate(cells)]
            shown.append(("  " + "  ".join(aligned)).rstrip())
        shown.append("")
    notes = _notes(rows)
    if notes:
        shown += ["Not measured here:", *(f"  {note}" for note in notes), ""]
    return "\n".join(shown[:-1])


def as_csv(rows: Sequence[Row], described: str) -> str:
    """One line a row, every figure in full, and the machine in the last column."""
    names = [field.name for field in fields(Row)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*names, "machine"])
    for row in rows:
        values = [getattr(row, name) for name in names]
        writer.writerow([*("" if value is None else value for value in values), described])
    return out.getvalue()


def as_markdown(rows: Sequence[Row], described: str) -> str:
    """A table for each kernel, and the machine."""
    parts = [f"Machine: {described}."]
    for kernel, (headings, *lines) in _by_kernel(rows):
        marks = ["---" if i < _WORDS else "---:" for i in range(len(headings))]
        parts += [f"### {kernel}", "\n".join("| " + " | ".join(line) + " |" for line in (headings, marks, *lines))]
    notes = _notes(rows)
    if notes:
        parts.append("Not measured here: " + "; ".join(notes) + ".")
    return "\n\n".join(parts)


def around_figures(page: Path) -> tuple[str, str]:
    """What stands before and after a page's figures, marker comments included; of a new page the markers alone.

    Raises:
        ValueError: The page exists and has no markers.
    """
    if not page.exists():
        return BEGIN, f"{END}\n"
    before, found, rest = page.read_text().partition(BEGIN)
    _, also, after = rest.partition(END)
    if not found or not also:
        raise ValueError(f"{page} has no lines {BEGIN} and {END} to write the figures between")
    return before + BEGIN, END + after


def write_whole(path: Path, text: str) -> None:
    """Write a file beside its place, then move it there."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
