"""Who made a recording, and under which licence: read from an INDEX.tsv beside or above the files."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path

from zoo.checks.text_files import read_bounded
from zoo.errors import ConfigError

_log = logging.getLogger(__name__)

INDEX_NAME = "INDEX.tsv"
_MOST_BYTES = 50 * 2**20
# How many folders above the recordings' own an index is looked for in.
_ABOVE = 3
_KEPT = ("licence", "license", "author", "source")


class AttributionIndex:
    """Finds what an INDEX.tsv says of a file.

    Such a file is a table separated by tabs. Its first line names the columns: `path`, relative to the index's own
    folder, and any of `instrument`, `licence` (or `license`), `author`, `source`.

    Args:
        root: The recordings' folder; indices are looked for in it, in what is below it, and in up to three folders
            above it. The nearest one that names the file counts.
    """

    def __init__(self, root: Path) -> None:
        root = root.resolve()
        self._top = [root, *root.parents][min(_ABOVE, len(root.parents))]
        self._tables: dict[Path, dict[str, dict[str, str]]] = {}

    def look_up(self, path: Path) -> tuple[dict[str, str], str | None]:
        """Give what is known of a file.

        Args:
            path: The file.

        Returns:
            Its attribution (licence, author, source, where known), and its instrument or None.
        """
        path = path.resolve()
        for folder in path.parents:
            row = self._table(folder).get(path.relative_to(folder).as_posix())
            if row is not None:
                known = {"licence" if key == "license" else key: row[key] for key in _KEPT if row.get(key)}
                return known, row.get("instrument") or None
            if folder == self._top:
                break
        return {}, None

    def _table(self, folder: Path) -> dict[str, dict[str, str]]:
        if folder not in self._tables:
            self._tables[folder] = _read(folder / INDEX_NAME)
        return self._tables[folder]


def _read(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    try:
        text = read_bounded(path, most_bytes=_MOST_BYTES, error=ConfigError, fix="Divide it.")
        rows = list(csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))
    except ConfigError as error:
        # it may be somebody else's; but if it is not, authors would be left out in silence
        _log.warning("%s Until then nobody is named by it.", error)
        return {}
    except csv.Error:
        return {}  # a file of that name that is no such table is somebody else's
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        known = {key.strip(): value.strip() for key, value in row.items() if _is_text(key) and _is_text(value)}
        if known.get("path"):
            # as on Windows; a name that has a backslash in it is found too
            found.setdefault(known["path"].replace("\\", "/"), known)
            found[known["path"]] = known
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str)
