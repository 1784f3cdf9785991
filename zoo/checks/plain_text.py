"""Text from outside on its way to a terminal: nothing in it moves the cursor, colours, hides or reorders what is shown.

Names, messages of a Hub, a stranger's config, exceptions of plugins: whatever a command writes passes through here, at
one place (`shown_plainly`), so that no message has to think of it. Accents, other scripts and emoji stay as they are.
What is escaped is written as JSON writes it, so that JSON on stdout stays JSON of the same content.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO

# Control characters but for newline and tab; marks that reorder text, break lines or are not seen; halves of pairs,
# which no stream can encode. Joiners (U+200C, U+200D) belong to emoji and scripts.
_UNSEEN = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164"
    r"\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
)
_UNPLAIN = re.compile(f"[{_UNSEEN}]")
_UNPLAIN_IN_A_LINE = re.compile(f"[\\n\\t{_UNSEEN}]")
_MOVES = re.compile(r"\r?(\n|\x1b\[A)*")  # of a progress bar, or of one among several
_NEWLINE = re.compile(r"\r\n")


def plain(text: str) -> str:
    r"""A text as it may be shown, its own lines and tabs kept.

    >>> plain("flöte\x1b[31m\n")
    'flöte\\u001b[31m\n'
    """
    return _UNPLAIN.sub(_escaped, _NEWLINE.sub("\n", text))


def one_line(text: str, *, most: int | None = None) -> str:
    r"""The same as one line: for a cell of a table, or a foreign message within one of ours.

    >>> one_line("a\nb")
    'a\\nb'

    Args:
        text: Any text.
        most: Characters that are shown at most.
    """
    line = _UNPLAIN_IN_A_LINE.sub(_escaped, text)
    return line if most is None or len(line) <= most else f"{line[: most - 3]}..."


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if (short := {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character)) is not None:
        return short
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


class PlainStream:
    """A text stream whose writers need not think of what they write.

    A progress bar goes to the beginning of its line, or a line up or down, before it draws itself: at the beginning of
    what is written, and on a terminal, that passes. What a program of ours draws by itself it writes with
    `write_controls`.

    Args:
        stream: What is written to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, escaped."""
        bar = text.startswith(("\r", "\x1b[A", "\n")) and not text.startswith("\r\n") and self._stream.isatty()
        moves = _MOVES.match(text) if bar else None
        begin = moves.end() if moves else 0
        self._stream.write(text[:begin] + plain(text[begin:]))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts, escaped."""
        for line in lines:
            self.write(line)

    def write_controls(self, controls: str) -> None:
        """Write what moves the cursor."""
        self._stream.write(controls)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._stream, name)


def write_controls(stream: Any, controls: str) -> None:  # noqa: ANN401 - any text stream
    """Write what moves the cursor to a stream, whether or not it escapes what is written."""
    getattr(stream, "write_controls", stream.write)(controls)


@contextmanager
def shown_plainly() -> Iterator[None]:
    """Let what is written to stdout and stderr within the block be plain; and what Python says of an error after it."""
    before = sys.stdout, sys.stderr
    sys.excepthook = _say
    sys.stdout, sys.stderr = (_plain_stream(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _plain_stream(stream: Any) -> Any:  # noqa: ANN401 - a text stream, or what stands for none
    return stream if stream is None or isinstance(stream, PlainStream) else PlainStream(stream)


def _say(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if sys.stderr is not None:
        sys.stderr.write(plain("".join(traceback.format_exception(kind, error, trace))))
