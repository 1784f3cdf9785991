"""Tables on a terminal or in a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from zoo.checks.plain_text import one_line
from zoo.storage import text_table


def write_table(rows: Sequence[Sequence[str]]) -> None:
    """Write rows to stdout, columns aligned; nothing is cut, for other programs read it too.

    A cell is one line, whatever text of others it holds: no row can be made up.
    """
    table = text_table([[one_line(cell) for cell in row] for row in rows])
    sys.stdout.write(f"{table}\n")
