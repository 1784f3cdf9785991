"""How the stand-in Hub lists a repository's files and serves one, with its digests and ranges."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from typing import TYPE_CHECKING, Any

from hub_repos import Blob, HubError, Repo

if TYPE_CHECKING:
    from hub_calls import Request


def file_info(repo: Repo, path: str, blob: Blob) -> dict[str, Any]:
    """One file as the tree lists it."""
    size = repo.size(path, blob, "tree")
    entry: dict[str, Any] = {"type": "file", "oid": blob.oid, "size": size, "path": path}
    if blob.lfs:
        entry["lfs"] = {"oid": blob.sha256, "size": size, "pointerSize": len(blob.pointer)}
    return entry


def list_tree(repo: Repo, revision: str, folder: str, recursive: bool) -> list[dict[str, Any]]:
    """Files and folders under a folder, in order of their paths."""
    prefix = f"{folder}/" if folder else ""
    found: dict[str, dict[str, Any]] = {}
    for path, blob in repo.resolve(revision).tree.items():
        if not path.startswith(prefix):
            continue
        parts = path[len(prefix) :].split("/")
        for depth in range(1, len(parts)):
            if recursive or depth == 1:
                name = prefix + "/".join(parts[:depth])
                oid = hashlib.sha1(name.encode()).hexdigest()
                found[name] = {"type": "directory", "oid": oid, "size": 0, "path": name}
        if recursive or len(parts) == 1:
            found[path] = file_info(repo, path, blob)
    if folder and not found:
        raise HubError(404, "EntryNotFound", f"{folder} does not exist on {revision}")
    return [found[path] for path in sorted(found)]


def file_answer(repo: Repo, revision: str, path: str, request: Request) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one file, or of the range of it that is asked for."""
    commit = repo.resolve(revision)
    told = {"X-Repo-Commit": commit.hash}
    blob = commit.tree.get(path)
    if blob is None:
        raise HubError(404, "EntryNotFound", "Entry not found", told)
    headers = told | {
        "ETag": f'"{blob.etag}"',
        "Accept-Ranges": "bytes",
        "Content-Type": mimetypes.guess_type(path)[0] or "application/octet-stream",
    }
    where = "head" if request.method == "HEAD" else "get"
    size = repo.size(path, blob, where)
    if blob.lfs:
        headers |= {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(size)}
    if size != len(blob.data):
        headers["Content-Length"] = str(size)
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", "").strip())
    if not asked or asked.group() == "bytes=-":
        return 200, headers, blob.data
    total = len(blob.data)
    first, last = asked.groups()
    start = int(first) if first else max(0, total - int(last))
    end = min(int(last), total - 1) if first and last else total - 1
    if start > end:
        raise HubError(416, "", "Range not satisfiable", told | {"Content-Range": f"bytes */{total}"})
    return 206, headers | {"Content-Range": f"bytes {start}-{end}/{total}"}, blob.data[start : end + 1]
