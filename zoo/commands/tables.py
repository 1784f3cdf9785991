"""Tables on a terminal or in a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from zoo.checks.plain_text import one_line


def write_table(rows: Sequence[Sequence[str]]) -> None:
    """Write rows to stdout, columns aligned; nothing is cut, for other programs read it too.

    A cell is one line, whatever text of others it holds: no row can be made up.
    """
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(f"{line.rstrip()}\n")
