"""Faults of the stand-in Hub: what goes wrong, at which request, how often. And two endpoints that are nothing else."""

from __future__ import annotations

import random
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

KINDS = ("drop", "status", "slow", "drip", "wrong_bytes", "short", "long", "no_header", "header", "instead", "hang")
NEED_A_BODY = ("drop", "wrong_bytes")  # a HEAD is answered rightly, and does not use them up
SEEN_BY_HEAD = ("short", "long")  # a HEAD gives the same length as the GET, and does not use them up


@dataclass
class Fault:
    """One thing that goes wrong.

    - `drop`: the connection closes after `at` bytes of the body (half of it by default; -1: before the status line);
      the Content-Length is the whole. `reset` closes it hard (RST), which clients take for another error.
    - `status`: the answer is `status`, with a Retry-After of `retry_after` seconds if given; nothing is done.
    - `slow`: `seconds` pass before the answer; the body comes at `rate` bytes a second if given.
    - `drip`: the whole answer, its headers too, comes at `rate` bytes a second (1 by default).
    - `instead`: the answer is `body`, a `content_type`, with `status` (200 by default); nothing is done.
    - `header`: the answer has the headers `extra` too, instead of its own of the same names.
    - `wrong_bytes`: `count` bytes of the body differ; digests and lengths in the headers are the right ones.
    - `short`, `long`: the body, and the length that is told, are `count` bytes less or more than the file. With
      `method="GET"` a HEAD tells the right length.
    - `no_header`: the answer lacks the headers named in `headers`.
    - `hang`: no answer at all, until the server stops.

    Attributes:
        kind: One of the above.
        path: A regular expression searched in the request's path, the query included; percent signs are as sent.
        times: How many requests it hits; None for all.
        after: How many matching requests pass unharmed first.
        method: Only requests of this method; None for all.
        hits: How many requests it has hit.
    """

    kind: str
    path: str = ""
    times: int | None = 1
    after: int = 0
    method: str | None = None
    at: int | None = None
    reset: bool = False
    status: int | None = None
    retry_after: int | str | None = None
    body: bytes = b""
    content_type: str = "application/json"
    extra: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    rate: float | None = None
    count: int = 8
    seed: int = 0
    headers: tuple[str, ...] = ("X-Repo-Commit", "ETag", "X-Linked-Etag")
    hits: int = field(default=0, init=False)
    _seen: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}; there are {', '.join(KINDS)}")

    def takes(self, method: str, path: str) -> bool:
        """Whether it hits this request; counts it."""
        if self.method not in (None, method) or not re.search(self.path, path):
            return False
        if method == "HEAD" and self.kind in NEED_A_BODY:
            return False
        spent = self._seen < self.after or (self.times is not None and self.hits >= self.times)
        if method == "HEAD" and self.kind in SEEN_BY_HEAD:
            return not spent
        self._seen += 1
        if not spent:
            self.hits += 1
        return not spent

    def change(self, headers: Mapping[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
        """Headers and body as this fault makes them."""
        changed = dict(headers)
        if self.kind == "header":
            given = {name.lower() for name in self.extra}
            return {name: value for name, value in changed.items() if name.lower() not in given} | dict(
                self.extra
            ), body
        if self.kind == "no_header":
            lost = {name.lower() for name in self.headers}
            return {name: value for name, value in changed.items() if name.lower() not in lost}, body
        if self.kind == "wrong_bytes":
            return changed, _spoil(body, self.count, self.seed)
        if self.kind in ("short", "long"):
            body = body[: max(0, len(body) - self.count)] if self.kind == "short" else body + bytes(self.count)
            if "X-Linked-Size" in changed:
                changed["X-Linked-Size"] = str(len(body))
        return changed, body


class Faults:
    """The faults that a server still has in store, in the order in which they were added."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def take(self, method: str, path: str) -> list[Fault]:
        """All faults that hit this request."""
        with self._lock:
            return [fault for fault in self._faults if fault.takes(method, path)]


def _spoil(body: bytes, count: int, seed: int) -> bytes:
    chance, spoilt = random.Random(seed), bytearray(body)
    for place in chance.sample(range(len(body)), min(count, len(body))):
        spoilt[place] ^= chance.randrange(1, 256)
    return bytes(spoilt)


@cache
def _bound_socket() -> socket.socket:
    """Bound but not listening: connections are refused, and no other process can be given the port."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound


def dead_endpoint() -> str:
    """The address of a port of this machine on which nobody listens."""
    return f"http://127.0.0.1:{_bound_socket().getsockname()[1]}"


@contextmanager
def black_hole() -> Iterator[str]:
    """The address of a port of this machine that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
