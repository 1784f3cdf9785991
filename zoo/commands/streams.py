"""Standard output and error that can always be written to: the work goes on when nobody reads what it says.

Requirements it meets:

- a reader that went away (`zoo list | head -1`) ends nothing and is no error: what is said after that is dropped;
- a process that was started without them (`>&-`, a service) has them: no file that is opened later gets their numbers,
  and what a library writes there harms none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

_NAMES = ("stdout", "stderr")


@contextmanager
def usable_streams() -> Iterator[None]:
    """While entered, stdout and stderr can be written to, whoever reads them."""
    _open_missing()
    before = {name: getattr(sys, name) for name in _NAMES}
    if any(isinstance(stream, _Stream) for stream in before.values()):  # a command that runs another one
        yield
        return
    wrapped = {name: _Stream(stream) for name, stream in before.items()}
    for name, stream in wrapped.items():
        setattr(sys, name, cast(TextIO, stream))
    try:
        yield
    finally:
        for name, stream in before.items():
            if getattr(sys, name) is wrapped[name]:  # else somebody has redirected it for good
                setattr(sys, name, stream)
            try:
                wrapped[name].flush()
            except (OSError, ValueError):
                wrapped[name].drop()  # Python would say so once more when the process ends


def _open_missing() -> None:
    """Give the numbers 0, 1 and 2 to something that swallows all, where they are closed."""
    with suppress(OSError):
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(number, True)
        os.close(number)
    for number, name in enumerate(_NAMES, start=1):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False))


class _Stream:
    """A text stream that drops what nobody reads any more; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if anybody reads it."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self.drop()
            return len(text)

    def writelines(self, lines: Any) -> None:  # noqa: ANN401 - as the stream's own
        """Write all of them, if anybody reads them."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Pass on what has been kept back."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self.drop()

    def drop(self) -> None:
        """From now on, swallow all."""
        with suppress(OSError, ValueError):  # a stream in memory has no number
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)
