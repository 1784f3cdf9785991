"""Ctrl-C and SIGTERM as a wish to stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


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
