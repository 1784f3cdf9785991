"""Speaking with the Hub: how long to wait for it, and what its errors mean to a user.

A dead endpoint is told within five seconds, so everything begins with one quick question (`resolve`, `reach`) before
the client library's patient retries are let loose.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from zoo.checks.plain_text import one_line
from zoo.errors import HubError, HubNotFoundError, HubUnreachableError, ZooError, near_matches
from zoo.hub.errand import MOST_WAIT_SECONDS, Errand, errand, seconds_asked

if TYPE_CHECKING:
    from huggingface_hub import HfApi

LIBRARY = "ddsp-zoo"
"""What our models are tagged with on the Hub."""

ANSWER_SECONDS = 4.0
"""How long the Hub may take to answer a first question."""

_TRIES = 3
_MOST_SAID = 500  # characters of what the Hub says
_TROUBLE = (408, 429, 500, 502, 503, 504)
_DROPPED = ("RemoteProtocolError", "ReadError", "WriteError")  # somebody was there, and hung up

T = TypeVar("T")


@dataclass(frozen=True)
class HubClient:
    """How to reach the Hub.

    Attributes:
        cache_dir: Where fetched files are kept; huggingface_hub's own cache by default.
        local_files_only: Ask nobody, take what is in the cache.
        token: Of the user's account; the saved login by default, False for none.
        endpoint: Another Hub than huggingface.co.
    """

    cache_dir: str | Path | None = None
    local_files_only: bool = False
    token: str | bool | None = None
    endpoint: str | None = None

    @property
    def offline(self) -> bool:
        """Whether nobody is to be asked."""
        from huggingface_hub import constants

        return self.local_files_only or constants.is_offline_mode()

    @property
    def host(self) -> str:
        """The Hub's address, for messages."""
        from huggingface_hub import constants

        return (self.endpoint or constants.ENDPOINT).rstrip("/")

    def api(self) -> HfApi:
        """The client library's entrance."""
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.endpoint, token=self.token, library_name=LIBRARY, library_version=_version())


def _version() -> str:
    from importlib.metadata import version

    return version(LIBRARY)


def is_commit(revision: str | None) -> bool:
    """Whether a revision is a full commit hash, which never comes to mean something else."""
    return revision is not None and len(revision) == 40 and all(c in "0123456789abcdef" for c in revision)


def resolve(repo_id: str, revision: str | None, client: HubClient) -> Any:  # noqa: ANN401 - the library's ModelInfo
    """What the Hub knows of a repo at a revision: a `huggingface_hub.ModelInfo`, whose `sha` is the commit.

    Raises:
        HubNotFoundError: There is no such repo or revision, or this login may not see it.
        HubUnreachableError: No answer within some seconds, or the Hub is in trouble.
        HubError: Anything else that the Hub refuses.
    """

    def ask() -> Any:  # noqa: ANN401
        return client.api().model_info(repo_id, revision=revision, timeout=ANSWER_SECONDS)

    with errand(client) as asking:
        info = _patiently(ask, repo_id, revision, client)
        if not isinstance(info.sha, str) or not is_commit(info.sha):
            raise asking.strange(f"it did not say which commit {repo_id} is at")
    return info


def reach(client: HubClient) -> None:
    """Make sure that something answers at the endpoint.

    Raises:
        HubUnreachableError: Nothing does.
    """
    from huggingface_hub import get_session

    with translated("", None, client):
        get_session().head(f"{client.host}/api/models", params={"limit": 1}, timeout=ANSWER_SECONDS)


def _patiently(ask: Callable[[], T], repo_id: str, revision: str | None, client: HubClient) -> T:
    """Ask again where the Hub says that it is busy; not where nobody answers."""
    from huggingface_hub.errors import HfHubHTTPError

    with translated(repo_id, revision, client):
        for attempt in range(_TRIES):
            wait = 0.5 * 2**attempt
            try:
                return ask()
            except HfHubHTTPError as error:
                wait = _retry_after(error) or wait
                if error.response.status_code not in _TROUBLE or wait > MOST_WAIT_SECONDS or attempt == _TRIES - 1:
                    raise
            except Exception as error:
                if type(error).__name__ not in _DROPPED or attempt == _TRIES - 1:
                    raise
            time.sleep(wait)
    raise AssertionError("unreachable")  # pragma: no cover


def _retry_after(error: Any) -> float | None:  # noqa: ANN401 - the library's HTTP error
    return seconds_asked(error.response.headers.get("Retry-After", ""))


@contextmanager
def translated(repo_id: str, revision: str | None, client: HubClient) -> Iterator[None]:
    """Turn what the client library raises within the block into our errors, which say what to type next.

    What the block asks is an errand, or part of one: see `zoo.hub.errand`.
    """
    with errand(client) as asking:
        try:
            yield
        except Exception as error:
            explained = _explain(error, repo_id, revision, client, asking)
            if explained is None:
                raise
            raise explained from error


def _explain(
    error: Exception, repo_id: str, revision: str | None, client: HubClient, asking: Errand
) -> HubError | None:
    from huggingface_hub import errors

    page = f"{client.host}/{repo_id}"
    match error:
        case ZooError() | MemoryError():
            return None
        case errors.GatedRepoError():
            return HubError(
                f"{repo_id} is gated: its owner decides who may read it. Ask for access at {page}, then log in "
                "(hf auth login) or give token=."
            )
        case errors.RepositoryNotFoundError():
            return HubNotFoundError(
                f"There is no model {repo_id} on {client.host}, or it is private and this login may not see it. "
                "Search: zoo list --hub. Log in: hf auth login (or give token=)."
            )
        case errors.RevisionNotFoundError():
            return HubNotFoundError(f"{repo_id} has no revision {revision!r}.{_revisions(repo_id, revision, client)}")
        case errors.LocalEntryNotFoundError():  # it was not to be had from the Hub, and the cache lacks it too
            if isinstance(error.__cause__, Exception):
                return _explain(error.__cause__, repo_id, revision, client, asking)
            return HubUnreachableError(f"A file of {repo_id} could not be fetched: {_first_line(error)}")
        case errors.FileMetadataError():
            return asking.strange(f"for a file of {repo_id} it gives no digest")
        case errors.LocalTokenNotFoundError():
            return HubError("No login is saved here, and token=True asks for it. Log in: hf auth login")
        case errors.EntryNotFoundError():
            return HubNotFoundError(f"A file of {repo_id} is not there: {_first_line(error)}")
        case errors.OfflineModeIsEnabled():
            return HubUnreachableError(f"HF_HUB_OFFLINE is set, so {client.host} is not asked. Unset it.")
        case errors.HFValidationError():
            return HubError(f"{repo_id!r} is no Hub id: {_first_line(error)} A Hub id is org/name.")
        case errors.HfHubHTTPError():
            return _explain_status(error, repo_id, client, asking)
        case OSError() if "Consistency check failed" in str(error):
            return HubUnreachableError(f"The download of {repo_id} broke off. Nothing of it was kept: try again.")
    if _of_the_network(error):
        asked = f" when asked for {repo_id}" if repo_id else ""
        return HubUnreachableError(
            f"{client.host} does not answer{asked} ({type(error).__name__}: {asking.hide(_first_line(error))}). "
            "What was fetched before loads without it; for anything else look at the network, or at HF_ENDPOINT."
        )
    if isinstance(error, OSError):  # of this machine: the disk, for one
        return None
    # whatever else the client library stumbles over is in the answer
    return asking.strange(f"it cannot be read ({type(error).__name__}: {_first_line(error)})")


def _explain_status(
    error: Any,  # noqa: ANN401 - the library's HTTP error
    repo_id: str,
    client: HubClient,
    asking: Errand,
) -> HubError:
    status = error.response.status_code
    said = one_line(" ".join((error.server_message or "").split()), most=_MOST_SAID) or _first_line(error)
    said = asking.hide(said)
    if status == 401:
        if not asking.logged_in:
            return HubError(f"{client.host} wants a login ({said}). Log in: hf auth login, or give token=.")
        return HubError(
            f"{client.host} does not know this login ({said}). Log in again: hf auth login, or give token=."
        )
    if status == 403:
        return HubError(
            f"This login may not do that with {repo_id} ({said}). Log in as its owner with a token that may write: "
            "hf auth login, or give token=."
        )
    if status == 429:
        wait = _retry_after(error)
        when = f"in {wait:.0f} s" if wait else "later"
        return HubUnreachableError(f"{client.host} has had too many requests from here: try again {when}.")
    if status >= 500:
        return HubUnreachableError(f"{client.host} is in trouble (HTTP {status}: {said}). Try again later.")
    return HubError(f"{client.host} refused (HTTP {status}): {said}")


def _revisions(repo_id: str, wanted: str | None, client: HubClient) -> str:
    """What revisions there are, as far as the Hub tells."""
    try:
        refs = client.api().list_repo_refs(repo_id)
    except Exception:  # noqa: BLE001 - this is help for an error that is on its way already
        return ""
    names = [ref.name for ref in (*refs.branches, *refs.tags)]
    return f"{near_matches(wanted or '', names)} It has {one_line(', '.join(names), most=_MOST_SAID) or 'none'}."


def _of_the_network(error: Exception) -> bool:
    # The client library does not wrap its HTTP library's errors, and has changed that library before.
    return any(base.__module__.startswith(("httpx", "httpcore")) for base in type(error).__mro__)


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return one_line(text.splitlines()[0], most=_MOST_SAID) if text else type(error).__name__
