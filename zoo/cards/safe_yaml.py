"""Cards of strangers: bounded before their YAML is read.

A YAML reader spends a minute on a few thousand brackets, and builds a million lists out of a line of references.
"""

from __future__ import annotations

from pathlib import Path

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from zoo.checks.text_files import read_bounded
from zoo.errors import CheckpointError

MOST_CARD_BYTES = 2 * 2**20
_MOST_METADATA = 64 * 2**10
_MOST_DEPTH = 20
_MOST_BRACKETS = 1000
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is twenty times as fast


def read_card(path: Path) -> str:
    """The text of a card.

    Raises:
        CheckpointError: It is no UTF-8 text, a folder, or too large.
    """
    fix = "Save it as UTF-8, or remove it: zoo card RUN writes it anew."
    return read_bounded(path, most_bytes=MOST_CARD_BYTES, error=CheckpointError, fix=fix)


def check_yaml(card: str, *, where: str) -> None:
    """Make sure that a card's metadata can be read within a second.

    Args:
        card: Its text.
        where: What messages call it.

    Raises:
        CheckpointError: It cannot: it is too large, too deep, refers to itself, or is no YAML.
    """
    if not (found := REGEX_YAML_BLOCK.search(card)):
        return
    block = found[2]
    if reason := _too_much(block):
        raise CheckpointError(
            f"{where} has metadata that cannot be read: {reason}. Mend what stands between its two lines ---, or "
            "remove it."
        )


def _too_much(block: str) -> str | None:
    if len(block) > _MOST_METADATA:
        return f"it has {len(block):,} letters, and {_MOST_METADATA:,} are the most"
    if sum(map(block.count, "[{")) > _MOST_BRACKETS:
        return f"it has over {_MOST_BRACKETS} brackets"
    depth = 0
    try:
        for event in yaml.parse(block, Loader=_LOADER):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > _MOST_DEPTH:
                return f"it is nested over {_MOST_DEPTH} levels deep"
            if isinstance(event, yaml.AliasEvent):
                return "it refers to parts of itself (*name)"
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return str(error).replace("\n", " ")[:300].rstrip(".")
    return None
