"""A stand-in of the Hugging Face Hub on this machine, for the real huggingface_hub client.

    with HubServer() as hub:
        hub.create("org/name", files={"config.json": b"{}"})
        snapshot_download("org/name", endpoint=hub.endpoint, token=hub.token, cache_dir=folder)

It keeps everything in memory, speaks models, LFS and no Xet (set HF_HUB_DISABLE_XET=1), and can be told to go wrong
(`hub.faults`). To try things by hand: `python tests/hub/hub_server.py --folder RUN --repo org/name`.

It stands on `http.server`, not on pytest-httpserver: a WSGI server writes the status line and the headers itself, and
half of the faults are in just these bytes (a header that drips, a connection that closes before or within it).
"""

from __future__ import annotations

import argparse
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from hub_api import handle
from hub_calls import Answer, Request
from hub_faults import Fault, Faults, black_hole, dead_endpoint
from hub_repos import BINARY, Blob, Commit, Repo, check_id

__all__ = ["Fault", "HubServer", "Request", "black_hole", "dead_endpoint"]


class HubServer:
    """A Hub that lives as long as its `with` block.

    Attributes:
        owner: The user who owns what is made directly.
        token: Their token: it may write, and see private repositories.
        users: Names by token.
        requests: Every request, in the order in which they came.
        uploaded: Path and content of everything that clients uploaded. LFS content has the path `sha256:...` until a
            commit names it.
        faults: What is to go wrong.
        crashes: Tracebacks of errors in the stand-in itself; tests want none.
        lfs: Whether binary files go to LFS, or with the commit.
        page_size: How many entries one page of a listing has.
    """

    def __init__(self, port: int = 0) -> None:
        self.owner = "tester"
        self.token = "hf_" + "abcdefghij" * 3 + "owns"
        self.users = {self.token: self.owner}
        self.repos: dict[str, Repo] = {}
        self.requests: list[Request] = []
        self.uploaded: list[tuple[str, bytes]] = []
        self.crashes: list[str] = []
        self.faults = Faults()
        self.lfs = True
        self.page_size = 1000
        self.lock = threading.RLock()
        self.stopping = threading.Event()
        self._http = _Http(self, port)
        self.endpoint = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> HubServer:
        # A short poll, for that is how long stopping takes.
        threading.Thread(target=self._http.serve_forever, args=(0.005,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()

    def add_user(self, name: str) -> str:
        """The token of a second user, who has rights on nothing but their own namespace."""
        token = "hf_" + (name + "x" * 34)[:34]
        self.users[token] = name
        return token

    def create(
        self, repo_id: str, files: Mapping[str, bytes] | None = None, private: bool = False, gated: bool = False
    ) -> str:
        """A repository with one commit, without a request; returns the commit."""
        check_id(repo_id)
        with self.lock:
            if repo_id in self.repos:
                raise ValueError(f"{repo_id} is there already")
            repo = self.repos[repo_id] = Repo(repo_id, self.owner, private, gated)
            return repo.start(self._blobs(files or {}), self.owner).hash

    def commit(
        self,
        repo_id: str,
        files: Mapping[str, bytes] | None = None,
        delete: Iterable[str] = (),
        branch: str = "main",
        message: str = "Change",
    ) -> str:
        """A commit without a request; returns its hash. A branch that is not there starts from main."""
        with self.lock:
            repo = self.repos[repo_id]
            if not branch.startswith("refs/"):
                repo.branches.setdefault(branch, repo.branches["main"])
            added = self._blobs(files or {})
            return repo.commit(branch, added, delete, message=message, author=self.owner).hash

    def tag(self, repo_id: str, name: str, revision: str = "main") -> str:
        """Puts a tag on a revision, or moves it there; returns the commit."""
        with self.lock:
            repo = self.repos[repo_id]
            repo.tags[name] = repo.resolve(revision).hash
            return repo.tags[name]

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """The content of every file of a revision."""
        return {path: blob.data for path, blob in self.repos[repo_id].resolve(revision).tree.items()}

    def head(self, repo_id: str, revision: str = "main") -> str:
        """The commit that a revision stands for."""
        return self.repos[repo_id].resolve(revision).hash

    def commits(self, repo_id: str, revision: str = "main") -> list[Commit]:
        """The commits behind a revision, newest first: `hash`, `message`, `parent` and more."""
        return self.repos[repo_id].history(revision)

    def lie_about_size(self, repo_id: str, path: str, size: int, where: Iterable[str] = ("tree", "head")) -> None:
        """Gives another size for a file in the `tree` (and the model's siblings), to `head`, or to `get` requests.

        A GET that lies has the real body: where that is shorter than told, the connection closes early.
        """
        with self.lock:
            self.repos[repo_id].lies.setdefault(path, {}).update(dict.fromkeys(where, size))

    def list_as(self, repo_id: str, path: str, data: bytes) -> str:
        """Puts a file on main under a name that a decent server would refuse; returns the commit."""
        with self.lock:
            return self.repos[repo_id].list_as(path, self._blobs({path: data})[path]).hash

    def _blobs(self, files: Mapping[str, bytes]) -> dict[str, Blob]:
        return {path: Blob(data, lfs=self.lfs and bool(data) and path.endswith(BINARY)) for path, data in files.items()}


class _Http(ThreadingHTTPServer):
    """One thread for each connection; all connections close when it does."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, hub: HubServer, port: int) -> None:
        self.hub = hub
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        # The base class looks up the machine's name, which can take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def process_request(self, request: socket.socket, client_address: object) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        for connection in list(self._open):
            with suppress(OSError):  # the client was faster
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: socket.socket, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            self.hub.crashes.append(traceback.format_exc())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def answer(self) -> None:
        hub = self.server.hub
        request = Request(self.command, self.path, self.headers, self._body())
        with hub.lock:
            hub.requests.append(request)
        faults = hub.faults.take(request.method, request.path)
        for fault in faults:
            if fault.kind == "hang":
                hub.stopping.wait()
                self.close_connection = True
                return
            hub.stopping.wait(fault.seconds)
        failed = next((fault for fault in faults if fault.kind in ("status", "instead")), None)
        self._send(_failure(failed) if failed else handle(hub, request), faults)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 (http.server looks for these names)

    def log_message(self, *_: object) -> None:
        pass

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _send(self, answer: Answer, faults: list[Fault]) -> None:
        headers, body = answer.headers, answer.body
        for fault in faults:
            headers, body = fault.change(headers, body)
        headers = {"Content-Length": str(len(body)), **headers}
        drop = next((fault for fault in faults if fault.kind == "drop"), None)
        if drop and drop.at is not None and drop.at < 0:
            self._hang_up(drop.reset)
            return
        if drip := next((fault for fault in faults if fault.kind == "drip"), None):
            self._drip(answer.status, headers, b"" if self.command == "HEAD" else body, drip.rate or 1.0)
            return
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value.encode("ascii", "backslashreplace").decode().replace("\n", " "))
        self.end_headers()
        if self.command == "HEAD":
            return
        sent = body if drop is None else body[: len(body) // 2 if drop.at is None else drop.at]
        self._write(sent, min((fault.rate for fault in faults if fault.rate), default=None))
        if drop:
            self._hang_up(drop.reset)
        elif int(headers["Content-Length"]) != len(body):
            self.close_connection = True

    def _write(self, body: bytes, rate: float | None) -> None:
        """All at once, or fifty pieces a second."""
        piece = max(1, int(rate / 50)) if rate else max(1, len(body))
        for start in range(0, len(body), piece):
            self.wfile.write(body[start : start + piece])
            if rate and self.server.hub.stopping.wait(piece / rate):
                return

    def _drip(self, status: int, headers: Mapping[str, str], body: bytes, rate: float) -> None:
        lines = [f"HTTP/1.1 {status} Dripped", *(f"{name}: {value}" for name, value in headers.items())]
        self._write("\r\n".join([*lines, "", ""]).encode("ascii", "backslashreplace") + body, rate)
        self.close_connection = True

    def _hang_up(self, reset: bool) -> None:
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


def _failure(fault: Fault) -> Answer:
    wait = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    if fault.kind == "instead":
        return Answer(fault.status or 200, fault.body, {"Content-Type": fault.content_type, **fault.extra, **wait})
    return Answer(
        fault.status or 500, b'{"error": "a fault of the stand-in"}', {"Content-Type": "application/json", **wait}
    )


def main() -> None:
    """Serves a folder as a repository until interrupted."""
    parser = argparse.ArgumentParser(description="Serve a folder as a model repository of a stand-in Hub.")
    parser.add_argument("--port", type=int, default=0, help="port on this machine; 0 picks a free one")
    parser.add_argument("--folder", type=Path, help="folder whose files the repository holds")
    parser.add_argument("--repo", default="org/name", help="id of the repository")
    given = parser.parse_args()
    with HubServer(given.port) as hub:
        if given.folder:
            paths = [path for path in sorted(given.folder.rglob("*")) if path.is_file()]
            hub.create(given.repo, {path.relative_to(given.folder).as_posix(): path.read_bytes() for path in paths})
        sys.stdout.write(f"endpoint {hub.endpoint}\ntoken {hub.token}\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)


if __name__ == "__main__":
    main()
