"""The repositories of the stand-in Hub, in memory: commits, branches, tags, pull requests, digests. No HTTP here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property

BINARY = (
    ".safetensors",
    ".wav",
    ".flac",
    ".mp3",
    ".png",
    ".jpg",
    ".bin",
    ".pt",
    ".ckpt",
    ".npy",
    ".npz",
    ".zoo",
    ".wasm",
)


class HubError(Exception):
    """An answer that is an error: status, the code that the client turns into an exception, the words."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] = {}) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers)


@dataclass(frozen=True)
class Blob:
    """The content of one file, with the digests that git and LFS give it."""

    data: bytes
    lfs: bool = False

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        """What git itself stores for an LFS file."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.data)}\n".encode()

    @cached_property
    def oid(self) -> str:
        return git_sha1(self.pointer if self.lfs else self.data)

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid


@dataclass(frozen=True)
class Commit:
    hash: str
    parent: str | None
    message: str
    description: str
    author: str
    date: str
    tree: Mapping[str, Blob] = field(repr=False)


class Repo:
    """One model repository.

    `lies` are sizes that the server is to give instead of the real ones: path, then `tree`, `head` or `get`.
    """

    def __init__(self, repo_id: str, owner: str, private: bool = False, gated: bool = False) -> None:
        self.id, self.owner, self.private, self.gated = repo_id, owner, private, gated
        self.commits: dict[str, Commit] = {}
        self.branches: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.pulls: dict[str, str] = {}
        self.lfs_objects: dict[str, bytes] = {}
        self.lfs_announced: dict[str, int] = {}
        self.lies: dict[str, dict[str, int]] = {}
        self.created = now()
        self.downloads = 0

    def resolve(self, revision: str) -> Commit:
        """The commit of a branch, tag, `refs/...` name, pull request, or (shortened) hash."""
        found = self._ref(revision)
        if found:
            refs, name = found
            return self.commits[refs[name]]
        if re.fullmatch("[0-9a-f]{7,40}", revision):
            hashes = [full for full in self.commits if full.startswith(revision)]
            if len(hashes) == 1:
                return self.commits[hashes[0]]
        raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")

    def start(self, files: Mapping[str, Blob], author: str) -> Commit:
        """The first commit, on `main`."""
        return self._write(self.branches, "main", None, files, "initial commit", "", author)

    def commit(
        self,
        revision: str,
        add: Mapping[str, Blob],
        delete: Iterable[str] = (),
        *,
        message: str = "",
        description: str = "",
        author: str = "",
        parent: str | None = None,
    ) -> Commit:
        """A commit on a branch or an open pull request; `delete` holds files, and folders with a slash at the end."""
        found = self._ref(revision)
        if found is None or found[0] is self.tags:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision} is no branch")
        refs, name = found
        head = self.commits[refs[name]]
        if parent and not head.hash.startswith(parent):
            raise HubError(412, "", "A commit has happened since. Please refresh and try again.")
        return self._write(refs, name, head, _changed(head, add, delete), message, description, author)

    def pull_request(
        self, base: str, add: Mapping[str, Blob], delete: Iterable[str], message: str, description: str, author: str
    ) -> tuple[str, Commit]:
        """A new pull request with one commit on top of `base`; returns its number and the commit."""
        start, number = self.resolve(base), str(len(self.pulls) + 1)
        return number, self._write(
            self.pulls, number, start, _changed(start, add, delete), message, description, author
        )

    def list_as(self, path: str, blob: Blob) -> Commit:
        """A commit on main that holds a file under any name at all, names that no real server takes included."""
        head = self.resolve("main")
        return self._write(self.branches, "main", head, {**head.tree, path: blob}, f"Add {path!r}", "", self.owner)

    def history(self, revision: str = "main") -> list[Commit]:
        """The commits behind a revision, newest first."""
        commits = [self.resolve(revision)]
        while commits[-1].parent:
            commits.append(self.commits[commits[-1].parent])
        return commits

    def size(self, path: str, blob: Blob, where: str) -> int:
        """The size that the server gives for a file: the real one, or the one that it is to lie with."""
        return self.lies.get(path, {}).get(where, len(blob.data))

    def _ref(self, revision: str) -> tuple[dict[str, str], str] | None:
        for prefix, refs in (("refs/heads/", self.branches), ("refs/tags/", self.tags), ("refs/pr/", self.pulls)):
            name = revision.removeprefix(prefix)
            if name in refs and (name != revision or refs is not self.pulls):
                return refs, name
        return None

    def _write(
        self,
        refs: dict[str, str],
        name: str,
        head: Commit | None,
        tree: Mapping[str, Blob],
        message: str,
        description: str,
        author: str,
    ) -> Commit:
        """Hashes depend on content and order alone: the same steps give the same hashes, whatever the time."""
        listing = sorted((path, blob.oid) for path, blob in tree.items())
        parent = head.hash if head else None
        seal = repr((self.id, parent, len(self.commits), message, description, author, listing))
        commit = Commit(
            hashlib.sha1(seal.encode()).hexdigest(), parent, message, description, author, now(), dict(tree)
        )
        self.commits[commit.hash] = commit
        self.lfs_objects.update({blob.sha256: blob.data for blob in tree.values() if blob.lfs})
        refs[name] = commit.hash
        return commit


def _changed(head: Commit, add: Mapping[str, Blob], delete: Iterable[str]) -> dict[str, Blob]:
    tree = dict(head.tree)
    for path in delete:
        gone = [name for name in tree if (name.startswith(path) if path.endswith("/") else name == path)]
        if not gone:
            raise HubError(404, "EntryNotFound", f"A file with this name doesn't exist: {path}")
        for name in gone:
            del tree[name]
    for path in add:
        if path.startswith("/") or any(part in ("", ".", "..", ".git") for part in path.split("/")):
            raise HubError(400, "", f"Invalid path in commit: {path}")
    return {**tree, **add}


def check_id(repo_id: str) -> None:
    """Refuses an id that the Hub would refuse."""
    name = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
    good = re.fullmatch(rf"(?:{name}/)?{name}", repo_id) and len(repo_id) <= 96
    if not good or "--" in repo_id or ".." in repo_id or repo_id.endswith(".git"):
        raise HubError(400, "", f"Invalid repo name: {repo_id}")


def git_sha1(data: bytes) -> str:
    """The name that git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
