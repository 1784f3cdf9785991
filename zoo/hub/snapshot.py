"""Fetching a Hub repo into huggingface_hub's cache, without believing what it says.

Requirements it meets:

- what is listed is judged before anything is downloaded: names that would leave the folder, and sizes that no model of
  ours has. What then comes is cut off when it is more than was listed;
- only files of a run are fetched, so that nothing is there that could be run or unpickled;
- every file is compared with the digest that the listing gives. One that differs is thrown away, and asked for again;
- config.json, which says what the weights must be, is compared with its own digest each time that it is taken from the
  cache: the cache keeps a file under the name of its digest;
- a branch's name leads to a commit in the cache only when that commit's files are whole: until then, and when the
  network is gone, it leads to the commit before;
- several processes may fetch the same at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.checks.path_names import check_path_name, leads_out
from zoo.checks.plain_text import one_line
from zoo.errors import CheckpointError, ConfigError, ForeignConfigError, HubError, HubUnreachableError
from zoo.hub.client import LIBRARY, HubClient, is_commit, resolve, translated
from zoo.hub.errand import errand
from zoo.models.naming import check_revision
from zoo.storage.config import MAX_CONFIG_BYTES, read_config
from zoo.storage.files import file_hash, write_atomically
from zoo.storage.run_files import CONFIG, WEIGHTS, is_published

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile
    from tqdm import tqdm

_log = logging.getLogger("zoo")

MAX_WEIGHTS_BYTES = 2 * 2**30
MAX_OTHER_BYTES = 100 * 2**20
"""Of a card, a sound, a picture; a hundred times what they have."""

MAIN = "main"

_WORKERS = 4
_SHA1_DIGITS, _SHA256_DIGITS = 40, 64
_STALE_SECONDS = 3600.0
_MOST_SHOWN = 80  # characters of what the Hub says


@dataclass(frozen=True)
class Snapshot:
    """A commit of a repo in the cache.

    Attributes:
        folder: With the files.
        repo_id: "org/name".
        commit: 40 hexadecimal digits.
        fetched: Whether the Hub was asked for files; otherwise they were in the cache.
    """

    folder: Path
    repo_id: str
    commit: str
    fetched: bool


def fetch_snapshot(repo_id: str, revision: str | None, client: HubClient, *, every_file: bool) -> Snapshot:
    """Make sure that a repo's files are in the cache.

    Args:
        repo_id: "org/name".
        revision: A branch, tag or commit; the branch main by default.
        client: How to reach the Hub.
        every_file: The samples, the card and the rest too, and compare all of them with the listing; otherwise config
            and weights are enough, and what is in the cache is taken.

    Raises:
        HubNotFoundError: There is no such repo or revision, or this login may not see it.
        HubUnreachableError: It does not answer, and the cache has no such revision.
        HubError: What is there is not a model of ours, or not to be trusted; it says why.
    """
    with errand(client):
        return _fetch_snapshot(repo_id, check_revision(revision or MAIN), client, every_file=every_file)


def _fetch_snapshot(repo_id: str, revision: str, client: HubClient, *, every_file: bool) -> Snapshot:
    cached = _cached(repo_id, revision, client)
    if client.offline:
        return cached or _refuse_offline(repo_id, revision, client)
    if cached is not None and is_commit(revision) and not every_file:
        return cached
    try:
        info = resolve(repo_id, revision, client)
        if not every_file and (whole := _cached(repo_id, info.sha, client)):
            _remember(repo_id, revision, info.sha, client)
            return whole
        folder = _download(repo_id, info, client, every_file=every_file)
    except HubUnreachableError as error:
        if cached is None:
            raise
        _log.warning("%s Taken from the cache (commit %s), which may be older.", error, cached.commit[:12])
        return cached
    _remember(repo_id, revision, info.sha, client)
    return Snapshot(folder, repo_id, info.sha, fetched=True)


def _cached(repo_id: str, revision: str, client: HubClient) -> Snapshot | None:
    from huggingface_hub import try_to_load_from_cache

    with translated(repo_id, revision, client):
        found = try_to_load_from_cache(repo_id, CONFIG, cache_dir=client.cache_dir, revision=revision)
    if not isinstance(found, str) or not Path(found).with_name(WEIGHTS).is_file():
        return None
    if not _is_what_it_is_named(Path(found)):
        if client.offline:
            raise HubUnreachableError(
                f"{found} has been damaged since it was fetched, and nobody may be asked now. Fetch it again with a "
                f"network: zoo fetch {repo_id}@{revision}"
            )
        _log.warning("%s of %s was damaged in the cache (%s); fetching it again.", CONFIG, repo_id, found)
        _throw_away(Path(found))
        return None
    folder = Path(found).parent
    if not is_commit(folder.name):  # the cache says that a branch leads to what is no commit
        return None
    return Snapshot(folder, repo_id, folder.name, fetched=False)


def _refuse_offline(repo_id: str, revision: str, client: HubClient) -> Snapshot:
    why = "local_files_only" if client.local_files_only else "HF_HUB_OFFLINE"
    raise HubUnreachableError(
        f"{repo_id} at {revision} has not been fetched before, and {why} is set. Fetch it once with a network: "
        f"zoo fetch {repo_id}@{revision}"
    )


def _download(repo_id: str, info: Any, client: HubClient, *, every_file: bool) -> Path:  # noqa: ANN401 - a ModelInfo
    listed = list_files(repo_id, info.sha, client)
    if CONFIG not in listed or WEIGHTS not in listed:
        raise _foreign(repo_id, info, f"it has no {CONFIG if CONFIG not in listed else WEIGHTS}")
    chosen = [CONFIG, WEIGHTS] if not every_file else [CONFIG, *(name for name in listed if name != CONFIG)]
    with _bar(sum(listed[name].size for name in chosen), repo_id) as bar:
        fetcher = _Fetcher(repo_id, info.sha, client, bar)
        folder = fetcher.file(listed[CONFIG]).parent
        try:
            read_config(folder)
        except ForeignConfigError as error:
            raise _foreign(repo_id, info, str(error)) from None
        except (ConfigError, CheckpointError) as error:
            raise type(error)(f"{repo_id}: {error}") from None
        with ThreadPoolExecutor(_WORKERS) as pool:
            # each in the context of this errand, which a thread does not have by itself
            tasks = [pool.submit(copy_context().run, fetcher.file, listed[name]) for name in chosen[1:]]
            try:
                for task in as_completed(tasks):
                    task.result()
            finally:
                for task in tasks:
                    task.cancel()
    _sweep(folder.parent.parent / "blobs")
    return folder


def _foreign(repo_id: str, info: Any, reason: str) -> HubError:  # noqa: ANN401 - a ModelInfo
    library = getattr(info, "library_name", None)
    whose = f"made for {library}" if library and library != LIBRARY else "not made by zoo"
    return HubError(f"{repo_id} is {whose}: {reason.rstrip('.')}. Models of zoo: zoo list --hub")


def fetch_file(repo_id: str, commit: str, listed: RepoFile, client: HubClient) -> Path:
    """Fetch one file of a commit, compared with what was listed; its place in the cache."""
    with _bar(listed.size, repo_id) as bar:
        return _Fetcher(repo_id, commit, client, bar).file(listed)


def list_files(repo_id: str, commit: str, client: HubClient) -> dict[str, RepoFile]:
    """The repo's files that are of a run, judged by name and size.

    Raises:
        HubError: A name would leave the folder, or a size is one that no model of ours has.
    """
    from huggingface_hub.hf_api import RepoFile

    with translated(repo_id, commit, client), errand(client) as asking:
        entries = list(client.api().list_repo_tree(repo_id, recursive=True, revision=commit))
        for entry in entries:
            if fault := _listing_fault(entry):
                raise asking.strange(f"{repo_id} is listed with {fault}")
    listed: dict[str, RepoFile] = {}
    for entry in entries:
        if leads_out(entry.path):
            raise HubError(
                f"{repo_id} is refused: it lists a file {entry.path!r}, a name that leads out of its folder."
            )
        if isinstance(entry, RepoFile) and is_published(entry.path):
            limit = {CONFIG: MAX_CONFIG_BYTES, WEIGHTS: MAX_WEIGHTS_BYTES}.get(entry.path, MAX_OTHER_BYTES)
            check_path_name(entry.path, f"{repo_id}: the listed file", nested=True, error=HubError)
            if entry.size > limit:
                raise HubError(
                    f"{repo_id} is refused: its {entry.path} has {entry.size} bytes, and {limit} is the most that "
                    "such a file may have."
                )
            listed[entry.path] = entry
    return listed


def _listing_fault(entry: Any) -> str | None:  # noqa: ANN401 - a RepoFile or RepoFolder of whatever was sent
    """What in an entry of a listing is no name, no size, or no digest; None where all is well."""
    if not isinstance(entry.path, str):
        return "a file that has no name"
    if not hasattr(entry, "blob_id"):  # a folder
        return None
    shown = one_line(entry.path, most=_MOST_SHOWN)
    if type(entry.size) is not int or entry.size < 0:
        return f"the size {one_line(repr(entry.size), most=_MOST_SHOWN)} for {shown}"
    lfs = entry.lfs
    digest, digits = (entry.blob_id, _SHA1_DIGITS) if lfs is None else (lfs.sha256, _SHA256_DIGITS)
    if not isinstance(digest, str) or len(digest) != digits or set(digest) - set("0123456789abcdef"):
        return f"the digest {one_line(repr(digest), most=_MOST_SHOWN)} for {shown}"
    return None


class _Fetcher:
    """Fetches files of one commit, and compares each with what was listed."""

    def __init__(self, repo_id: str, commit: str, client: HubClient, bar: tqdm[Any]) -> None:
        self._repo_id, self._commit, self._access, self._bar = repo_id, commit, client, bar

    def file(self, listed: RepoFile) -> Path:
        """One file's place in the cache."""
        path = self._ask(listed)
        if not _is_the_listed_one(path, listed):
            _log.warning("%s of %s arrived damaged; fetching it again.", listed.path, self._repo_id)
            _throw_away(path)
            path = self._ask(listed)
            if not _is_the_listed_one(path, listed):
                _throw_away(path)
                raise HubError(
                    f"{self._repo_id} is refused: its {listed.path} has another content than {self._access.host} "
                    "announces. Nothing of it was kept: try again later, or tell the repo's owner."
                )
        return path

    def _ask(self, listed: RepoFile) -> Path:
        from huggingface_hub import hf_hub_download

        with translated(self._repo_id, self._commit, self._access):
            return Path(
                hf_hub_download(
                    self._repo_id,
                    listed.path,
                    revision=self._commit,
                    cache_dir=self._access.cache_dir,
                    token=self._access.token,
                    endpoint=self._access.endpoint,
                    library_name=LIBRARY,
                    tqdm_class=_counting(listed, self._repo_id, self._bar),
                )
            )


def _counting(listed: RepoFile, repo_id: str, bar: tqdm[Any]) -> type[tqdm[Any]]:
    """A progress bar for one file, which moves the common one, and stops what is more than was listed.

    This is the one place where the client library lets us look at a download while it is under way.
    """
    from tqdm import tqdm

    class Counting(tqdm):  # type: ignore[type-arg]  # tqdm is generic in its types only
        def __init__(self, *_: object, total: float | None = None, initial: int = 0, **__: object) -> None:
            super().__init__(disable=True)
            self.received = initial
            self.check(total or 0)

        def update(self, n: float | None = 1) -> bool | None:
            self.received += int(n or 0)
            self.check(self.received)
            bar.update(n or 0)
            return None

        def check(self, count: float) -> None:
            if count > listed.size:
                raise HubError(
                    f"{repo_id} is refused: its {listed.path} is listed with {listed.size} bytes, and more are sent."
                )

    return Counting


def _bar(total: int, repo_id: str) -> tqdm[Any]:
    from tqdm import tqdm

    return tqdm(total=total, unit="B", unit_scale=True, desc=f"fetching {repo_id}", disable=None, leave=False)


def _is_the_listed_one(path: Path, listed: RepoFile) -> bool:
    size = path.stat().st_size
    if size != listed.size:
        return False
    if listed.lfs is not None:
        return file_hash(path) == listed.lfs.sha256
    return _blob_id(path, size) == listed.blob_id


def _is_what_it_is_named(path: Path) -> bool:
    """Whether a file in the cache is still what was fetched; true where the cache does not say what that was.

    The client library keeps a file under its digest's name, and the snapshot's name is a link to that. Where links
    cannot be made, the file stands there itself.
    """
    content = path.resolve()
    if content.parent.name != "blobs" or len(content.name) not in (_SHA1_DIGITS, _SHA256_DIGITS):
        return True
    if len(content.name) == _SHA256_DIGITS:
        return file_hash(content) == content.name
    return _blob_id(content, content.stat().st_size) == content.name


def _blob_id(path: Path, size: int) -> str:
    """Git's name for a file's content."""
    return file_hash(path, hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False))


def _throw_away(path: Path) -> None:
    """Take a file out of the cache: the name in the snapshot, and the content that it leads to."""
    with contextlib.suppress(FileNotFoundError):
        content = path.resolve()
        path.unlink()
        content.unlink()


def _remember(repo_id: str, revision: str, commit: str, client: HubClient) -> None:
    """Write down which commit a branch or tag led to, where the client library looks for it without a network."""
    if revision == commit:
        return
    place = _repo_folder(repo_id, client) / "refs" / revision
    if place.is_file() and place.read_text() == commit:
        return
    try:
        write_atomically(place, commit)
    except OSError as error:
        _log.warning("The cache cannot be written (%s): without a network, %s will not be found.", error, revision)


def _repo_folder(repo_id: str, client: HubClient) -> Path:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(client.cache_dir or constants.HF_HUB_CACHE).expanduser() / repo_folder_name(
        repo_id=repo_id, repo_type="model"
    )


def _sweep(blobs: Path) -> None:
    """Remove what killed processes left half downloaded; the client library never takes it up again."""
    for path in blobs.glob("*.incomplete"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                path.unlink()
