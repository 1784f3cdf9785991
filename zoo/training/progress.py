"""What a person sees of a training, and how they stop it."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any

from tqdm import tqdm

_log = logging.getLogger(__name__)

_LINE_EVERY = 30.0
"""Seconds between plain lines."""


class StopRequest:
    """Ctrl-C and SIGTERM as a wish to stop at the next whole step, rather than an exception in the middle of one.

    While entered, a first SIGINT or SIGTERM sets `asked`; a second SIGINT interrupts at once. SIGTERM sets `urgent`:
    who sends it, a machine that shuts down for one, will not wait for long. Outside of the main thread, where Python
    allows no handlers, signals are left as they are.
    """

    def __init__(self) -> None:
        self.asked = self.urgent = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
        self.urgent |= number == signal.SIGTERM


class Progress:
    """What a person sees of a training: a bar on a terminal, else a plain line now and then.

    Args:
        steps: Of the whole run.
        start: Steps done before.
        shown: None for a bar on a terminal and lines elsewhere; False for neither.
    """

    def __init__(self, steps: int, *, start: int = 0, shown: bool | None = None) -> None:
        self._steps = steps
        self._start = start
        self._began = self._said = time.monotonic()
        self._shown = shown is not False
        self._bar: tqdm[Any] | None = None
        if self._shown and sys.stderr.isatty():
            self._bar = tqdm(total=steps, initial=start, unit="step", dynamic_ncols=True, smoothing=0.05)

    def begin(self) -> None:
        """The first step begins now."""
        self._began = self._said = time.monotonic()

    def step(self, step: int, loss: float) -> None:
        """A step is done."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
            self._bar.update(1)
        elif self._shown and time.monotonic() - self._said > _LINE_EVERY:
            self._said = time.monotonic()
            each = (self._said - self._began) / (step - self._start)
            left = each * (self._steps - step)
            _log.info(
                "step %d of %d, loss %.3f, %.2f s per step, %s left", step, self._steps, loss, each, duration(left)
            )

    def validated(self, step: int, loss: float, *, best: bool) -> None:
        """A validation is done."""
        if not self._shown:
            return
        line = f"step {step} of {self._steps}: validation loss {loss:.4f}{' (best so far)' if best and step else ''}"
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        else:
            _log.info("%s", line)

    def close(self) -> None:
        """Nothing more comes."""
        if self._bar is not None:
            self._bar.close()


def duration(seconds: float) -> str:
    """A time span as people say it.

    >>> duration(75), duration(7300)
    ('1 min 15 s', '2 h 1 min')
    """
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
