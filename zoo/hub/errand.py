"""What one use of the Hub may take and where it may lead: time, answers' sizes, pages, and who is told the token.

Requirements it meets:

- an operation that does not get on ends within `PATIENCE_SECONDS` and one pause between tries, however slowly the other
  side drips, in headers too. Getting on means a piece of a file: a long download that flows may take hours;
- answers other than files are bounded in size, and the pages of a listing in number;
- nobody but the Hub itself is told the login: not a next page's host, not a redirect's, not an upload's;
- nobody is waited for longer than `MOST_WAIT_SECONDS` because it says so;
- what else a program does with huggingface_hub at the same time is left as it is.

The client library has one shared HTTP client. Its documented hooks see each request and each answer; how fast bytes
come is only seen by the streams below it, which are reached through two attributes that are not documented.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from zoo.checks.plain_text import one_line
from zoo.errors import HubError, HubUnreachableError

if TYPE_CHECKING:
    from zoo.hub.client import HubClient

PATIENCE_SECONDS = 30.0
"""How long an operation may go without a piece of a file."""

MOST_WAIT_SECONDS = 10.0
"""The longest pause that the Hub may ask for between two tries."""

_PIECE_BYTES = 128 * 1024  # what counts as getting on: 4 kB a second at least
_MOST_ANSWER_BYTES = 64 * 2**20  # of all answers of one operation that are no files
_MOST_QUESTIONS = 1000
_MOST_SHOWN = 80  # characters of an answer
_BUSY = (408, 429, 500, 502, 503, 504)
_DIGEST = re.compile(r'(W/)?"?[\w-]{1,128}"?')  # becomes a file's name in the cache
_COMMIT = re.compile(r"[0-9a-f]{40}")
_RESET = re.compile(r";\s*t\s*=\s*(\d+)")
_AUTHORIZATION = re.compile(r"Bearer [!-~]+")
_API = "zoo_api"

_current: ContextVar[Errand | None] = ContextVar("_current", default=None)
_open: set[Errand] = set()
_lock = threading.Lock()


class Errand:
    """One operation with a Hub.

    Attributes:
        host: Its address, for messages.
        came: What it answered last, for messages.
    """

    def __init__(self, host: str, authorization: str | None) -> None:
        self.host = host
        self.came = ""
        self._authorization = authorization
        self._uploads: set[str] = set()
        self._since = time.monotonic()
        self._piece = self._answers = self._questions = 0
        self._asked: set[str] = set()
        self._of_a_file = threading.local()

    @property
    def logged_in(self) -> bool:
        """Whether it asks with a login."""
        return self._authorization is not None

    def hide(self, text: str) -> str:
        """A text without the login."""
        token = (self._authorization or "").removeprefix("Bearer ").strip()
        return text.replace(token, "***") if token else text

    def left(self) -> float:
        """Seconds until it has waited for too long."""
        return self._since + PATIENCE_SECONDS - time.monotonic()

    def check(self) -> None:
        """Make sure that it may go on.

        Raises:
            HubUnreachableError: It has not got on for too long.
        """
        if self.left() <= 0:
            last = f" What came last: {self.came}." if self.came else ""
            raise HubUnreachableError(
                f"{self.host} answers too slowly: it has sent nearly nothing for {PATIENCE_SECONDS:.0f} s.{last} Try "
                "again later, or on another network."
            )

    def within(self, timeout: float | None) -> float:
        """A timeout that does not go beyond what is left."""
        left = max(self.left(), 0.01)
        return left if timeout is None else min(timeout, left)

    def passed(self, count: int, *, sent: bool = False) -> None:
        """Count what came, or was sent: what is sent is all ours, and so has an end."""
        with _lock:
            if sent or getattr(self._of_a_file, "now", False):
                self._piece += count
                if self._piece >= _PIECE_BYTES:
                    self._piece, self._since = 0, time.monotonic()
                return
            self._answers += count
        if self._answers > _MOST_ANSWER_BYTES:
            raise HubUnreachableError(
                f"{self.host} does not stop answering: over {_MOST_ANSWER_BYTES // 2**20} MB came where no file was "
                f"asked for. {self.advice}"
            )

    @property
    def advice(self) -> str:
        """What to do about answers that are not a Hub's."""
        return (
            "Is that a Hugging Face Hub? A network that wants a login of its own (a hotel's) answers like this: open "
            "any page in a browser and try again, or look at HF_ENDPOINT."
        )

    def strange(self, what: str) -> HubUnreachableError:
        """The error for an answer that no Hub gives."""
        last = f" It answered {self.came}." if self.came else ""
        return HubUnreachableError(f"{self.host} does not answer as a Hub does: {self.hide(what)}.{last} {self.advice}")

    def owns(self, request: Any) -> bool:  # noqa: ANN401 - the HTTP library's request
        """Whether a request of a thread that the client library has made belongs to this operation."""
        sent = request.headers.get("authorization")
        return str(request.url) in self._uploads or (sent is not None and sent == self._authorization)

    def before(self, request: Any) -> None:  # noqa: ANN401 - as above
        """Look at a request before it is sent."""
        self.check()
        url = str(request.url)
        own = self._is_own(url)
        if not own:  # it is told nothing of who asks
            for name in ("authorization", "cookie"):
                request.headers.pop(name, None)
        path = urlsplit(url).path.removeprefix(urlsplit(self.host).path.rstrip("/"))
        api = request.extensions.get(_API)  # a redirect inherits it
        if api is None:
            api = own and (path.startswith("/api/") or "/info/lfs/" in path)
        request.extensions = {**request.extensions, _API: api}
        # a file's head is an answer like others; its content, or an upload, is what takes long
        self._of_a_file.now = not api and request.method in ("GET", "PUT")
        if api:
            request.headers["accept-encoding"] = "identity"  # so that what comes is what is counted
        self._questions += not self._of_a_file.now
        if self._questions > _MOST_QUESTIONS:
            raise self.strange(f"it took {_MOST_QUESTIONS} questions, and there was no end")

    def after(self, response: Any) -> None:  # noqa: ANN401 - the HTTP library's response
        """Look at an answer before anybody uses it."""
        request, headers = response.request, response.headers
        kind = one_line(headers.get("content-type", ""), most=_MOST_SHOWN) or "no content type"
        self.came = f"HTTP {response.status_code}, {kind}"
        if response.status_code in _BUSY and (wait := _wait_asked(headers)) > MOST_WAIT_SECONDS:
            why = "has had too many requests from here" if response.status_code == 429 else "is busy"
            raise HubUnreachableError(
                f"{self.host} {why} (HTTP {response.status_code}): try again in {wait:.0f} s, as it says."
            )
        if "/resolve/" in request.url.path and self._is_own(str(request.url)):
            self._check_digests(request, headers)
        file = response.status_code < 300 and request.method == "GET" and not request.extensions.get(_API)
        if request.method == "HEAD" or file:
            return
        self._of_a_file.now = False
        if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise self.strange("what came is compressed, though that was not asked for")
        response.read()
        if start := one_line(self.hide(response.text[:300]), most=_MOST_SHOWN):
            self.came += f": {start!r}"
        if request.extensions.get(_API) and response.status_code < 300:
            self._check_answer(request, response)

    def _check_answer(self, request: Any, response: Any) -> None:  # noqa: ANN401 - as above
        path = request.url.path
        listing = request.method == "GET" and (path.endswith("/api/models") or "/tree/" in path)
        if not listing and not path.endswith("/objects/batch"):
            return
        try:
            content = response.json()
        except (ValueError, RecursionError):
            raise self.strange("what came is no JSON") from None
        if not listing:
            self._note_uploads(content)
            return
        if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
            raise self.strange("what came is no list of entries")
        if address := response.links.get("next", {}).get("url"):
            address = urljoin(str(request.url), address)
            if not self._is_own(address):
                elsewhere = one_line(urlsplit(address).netloc, most=_MOST_SHOWN)
                raise self.strange(f"its next page is on another host, {elsewhere}, which was not asked")
            if address in self._asked or address == str(request.url):
                raise self.strange("its next page is one that it has given before")
            self._asked.add(address)

    def _note_uploads(self, content: Any) -> None:  # noqa: ANN401 - whatever was sent
        """Where the Hub wants uploads to go, which threads of the client library's own will ask."""
        objects = content.get("objects") if isinstance(content, dict) else None
        for each in objects if isinstance(objects, list) else []:
            actions = each.get("actions") if isinstance(each, dict) else None
            for action in actions.values() if isinstance(actions, dict) else []:
                if isinstance(action, dict):
                    header = action.get("header")
                    parts = header.values() if isinstance(header, dict) else ()
                    self._uploads.update(v for v in (action.get("href"), *parts) if isinstance(v, str))

    def _check_digests(self, request: Any, headers: Any) -> None:  # noqa: ANN401 - as above
        for name in ("etag", "x-linked-etag"):
            if name in headers and not _DIGEST.fullmatch(headers[name]):
                raise self.strange(f"its {name} is {one_line(headers[name], most=_MOST_SHOWN)!r}, which is no digest")
        commit, wanted = headers.get("x-repo-commit"), request.url.path.partition("/resolve/")[2].split("/")[0]
        if commit is not None and _COMMIT.fullmatch(wanted) and commit != wanted:
            raise self.strange(f"it was asked for commit {wanted[:12]}, and sends {one_line(commit, most=40)!r}")

    def _is_own(self, url: str) -> bool:
        here, there = _origin(self.host), _origin(url)
        secured = (here[0], here[2], there[0], there[2]) == ("http", 80, "https", 443)
        return here == there or (secured and here[1] == there[1])


@contextmanager
def errand(client: HubClient) -> Iterator[Errand]:
    """Hold what the block asks the Hub within bounds; within another one's block, it is part of that.

    Raises:
        HubError: The login cannot be sent.
    """
    running = _current.get()
    if running is not None and running in _open and running.host == client.host:
        yield running
        return
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented, not marked so

    authorization = build_hf_headers(token=client.token).get("authorization")
    if authorization is not None and not _AUTHORIZATION.fullmatch(authorization):
        raise HubError(
            "The login is no token: one is letters, digits and signs, without spaces, lines or accents. Give another "
            "token=, or log in again: hf auth login"
        )
    _install()
    made = Errand(client.host, authorization)
    with _lock:
        _open.add(made)
    before = _current.set(made)
    try:
        yield made
    finally:
        _current.reset(before)
        with _lock:
            _open.discard(made)


def seconds_asked(value: object) -> float | None:
    """How long a `Retry-After` says to wait; None where it says no number."""
    text = str(value).strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _wait_asked(headers: Any) -> float:  # noqa: ANN401 - the HTTP library's headers
    asked = seconds_asked(headers.get("retry-after", "")) or 0.0
    reset = _RESET.search(headers.get("ratelimit", ""))
    return max(asked, (seconds_asked(reset[1]) or 0.0) if reset else 0.0)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    return parts.scheme, (parts.hostname or "").lower(), port or {"http": 80, "https": 443}.get(parts.scheme)


def _running() -> Errand | None:
    """The operation that this thread works for, if any."""
    found = _current.get()
    return found if found is not None and found in _open else None


def _before(request: Any) -> None:  # noqa: ANN401 - the HTTP library's request
    found = _running()
    if found is None:
        with _lock:
            found = next((each for each in _open if each.owns(request)), None)
        if found is None:
            return
        _current.set(found)  # a thread that the client library has made; it has no context of ours
    found.before(request)


def _after(response: Any) -> None:  # noqa: ANN401 - the HTTP library's response
    if (found := _running()) is not None:
        found.after(response)


class _Watched:
    """A client factory that has each client watched."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __call__(self) -> Any:  # noqa: ANN401 - the HTTP library's client
        client = self._make()
        hooks = client.event_hooks
        client.event_hooks = {
            **hooks,
            "request": [*hooks["request"], _before],
            "response": [_after, *hooks["response"]],
        }
        transports = (getattr(client, "_transport", None), *getattr(client, "_mounts", {}).values())
        for pool in (getattr(transport, "_pool", None) for transport in transports):
            if pool is not None and (backend := getattr(pool, "_network_backend", None)) is not None:
                pool._network_backend = _Backend(backend)
        return client


def _install() -> None:
    from huggingface_hub.utils import _http

    with _lock:
        make = getattr(_http, "_GLOBAL_CLIENT_FACTORY", _http.default_client_factory)
        if not isinstance(make, _Watched):  # the program may have set one of its own: that is kept
            _http.set_client_factory(_Watched(make))


class _Backend:
    """Connects as another one does, to streams that are watched."""

    def __init__(self, inner: Any) -> None:  # noqa: ANN401 - the HTTP library's backend
        self._inner = inner

    def connect_tcp(self, *words: Any, timeout: float | None = None, **options: Any) -> _Stream:  # noqa: ANN401
        if (running := _running()) is not None:
            running.check()
            timeout = running.within(timeout)
        return _Stream(self._inner.connect_tcp(*words, timeout=timeout, **options))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._inner, name)


class _Stream:
    """A connection whose reads and writes keep to the operation that this thread works for."""

    def __init__(self, inner: Any) -> None:  # noqa: ANN401 - the HTTP library's stream
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        running = _running()
        if running is None:
            return self._inner.read(max_bytes, timeout=timeout)
        running.check()
        try:
            got: bytes = self._inner.read(max_bytes, timeout=running.within(timeout))
        except Exception:
            running.check()  # that is what ended it, and no timeout of the HTTP library's
            raise
        running.passed(len(got))
        return got

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        running = _running()
        if running is None:
            self._inner.write(buffer, timeout=timeout)
            return
        for start in range(0, len(buffer), 2**16):
            running.check()
            piece = buffer[start : start + 2**16]
            try:
                self._inner.write(piece, timeout=running.within(timeout))
            except Exception:
                running.check()
                raise
            running.passed(len(piece), sent=True)

    def start_tls(self, *words: Any, **options: Any) -> _Stream:  # noqa: ANN401
        return _Stream(self._inner.start_tls(*words, **options))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._inner, name)
