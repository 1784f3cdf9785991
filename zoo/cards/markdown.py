"""Text from outside as it stands in a card: shown as it is, never as markup.

A card is Markdown, in which HTML counts too: a name, an author or a metric of a stranger's could bring headings, links
and scripts. What is safe as it is stays as it is, so that a card's source can be read.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from zoo.checks.plain_text import one_line

_ENTITY = re.compile(r"&(?=#?\w+;)")
_EMPHASIS = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_BLOCK = re.compile(r"^(\s*)(#{1,6}(?=\s|$)|[-+](?=\s|$)|>|=+$|-+$|\d+[.)](?=\s|$))")


def inline(text: object) -> str:
    r"""A text within a line.

    >>> inline("<b>Jane</b> & [co](http://x)\n# Doe, batch_size 3")
    '&lt;b>Jane&lt;/b> & [co\\](http://x) # Doe, batch_size 3'

    Args:
        text: Any value; a text's lines are joined by spaces.
    """
    line = one_line(" ".join(str(text).split()))
    line = _ENTITY.sub("&amp;", line.replace("\\", "\\\\"))
    line = line.replace("<", "&lt;")
    for sign in ("`", "*", "|", "~~"):
        line = line.replace(sign, "".join(f"\\{character}" for character in sign))
    for end in ("](", "][", "]:"):
        line = line.replace(end, f"\\{end}")
    line = _EMPHASIS.sub(r"\\_", line)
    return _BLOCK.sub(lambda found: f"{found[1]}{_unblocked(found[2])}", line)


def _unblocked(start: str) -> str:
    return f"{start[:-1]}\\{start[-1]}" if start[0].isdigit() else f"\\{start}"


def code(text: object) -> str:
    """A text as code within a line."""
    line = one_line(" ".join(str(text).split())).replace("`", "'")
    return f"`{line}`"


def address(path: str) -> str:
    """A file's path within the repo, as an address."""
    return quote(path.encode("utf-8", "surrogateescape"), safe="/")
