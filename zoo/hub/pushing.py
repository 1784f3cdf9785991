"""Sending a run to the Hub, in one commit."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from zoo import naming
from zoo.card import write_card
from zoo.config import ModelConfig, read_config
from zoo.errors import ConfigError, ForeignConfigError, HubError, HubNotFoundError
from zoo.hub.client import Access, is_commit, resolve, translated
from zoo.hub.errand import errand
from zoo.hub.finding import Found, find
from zoo.hub.publishing import Publication, prepare_publication
from zoo.hub.snapshot import MAIN, fetch_file, list_files
from zoo.reading import copy_run
from zoo.run_files import CARD, CONFIG, is_published
from zoo.store import Origin, write_origin

_log = logging.getLogger("zoo")


@dataclass(frozen=True)
class Pushed:
    """What a push made.

    Attributes:
        repo_id: "org/name".
        commit: 40 hexadecimal digits.
        url: Of the commit, or of the pull request.
        pull_request: Its number, where one was asked for.
    """

    repo_id: str
    commit: str
    url: str
    pull_request: int | None = None

    @property
    def reference(self) -> str:
        """What finds exactly this, whatever is pushed later: "org/name@commit"."""
        return f"{self.repo_id}@{self.commit}"


def push(
    run_or_name: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
    token: str | bool | None = None,
    endpoint: str | None = None,
) -> Pushed:
    """Send a run, or a model of the local store, to the Hub, in one commit.

    Only what others need of a run is sent: weights, config, card, metrics, gin files, loss curve, samples and plots.
    Checkpoints stay here, and so do this machine's paths. The repo is made if there is none; what an earlier push left
    there and this run does not have is removed.

    Example:
        >>> zoo.push("runs/my-flute", "org/gru-S-flute", private=True)  # doctest: +SKIP

    Args:
        run_or_name: A run's folder, or a name in the local store.
        repo_id: "org/name", or "org/name@branch".
        private: Whether a repo that is made is for its owner alone; what the account says by default.
        revision: The branch to commit to; it is made if there is none.
        create_pr: Open a pull request instead.
        commit_message: The commit's title.
        token: Of your Hub account; the saved login by default.
        endpoint: Another Hub than huggingface.co.

    Returns:
        The commit.

    Raises:
        ModelNotFoundError: There is no such run or name.
        CheckpointError: Its files are damaged: only what loads is sent.
        ConfigError: It is on the Hub already, or would give away a path of this machine or a token.
        HubError: The Hub cannot be used as asked, or the repo holds something else than a model of zoo.
    """
    repo_id, revision = _target(repo_id, revision)
    access = Access(token=token, endpoint=endpoint)
    found = _local(run_or_name)
    _check_loads(found)
    with TemporaryDirectory() as place, errand(access):
        info = _existing(repo_id, revision, access)
        if info is not None:
            _check_existing(info, repo_id, private, access)
        previous_card = _text_of(repo_id, info, CARD, access) if info is not None else ""
        copy = Path(place)
        copy_run(found.folder, copy)  # one version, whatever is saved there while it is sent
        return _send(found, copy, repo_id, revision, info, private, access, create_pr, commit_message, previous_card)


def _send(
    found: Found,
    copy: Path,
    repo_id: str,
    revision: str | None,
    info: Any,  # noqa: ANN401 - the library's ModelInfo
    private: bool | None,
    access: Access,
    create_pr: bool,
    commit_message: str | None,
    previous_card: str,
) -> Pushed:
    publication = prepare_publication(copy, repo_id=repo_id, access=access, previous_card=previous_card)
    with translated(repo_id, revision, access):
        if info is None:
            access.api().create_repo(repo_id, private=private, exist_ok=True)
            info = resolve(repo_id, None, access)
        if revision not in (None, MAIN) and not create_pr:
            access.api().create_branch(repo_id, branch=str(revision), exist_ok=True)
            info = resolve(repo_id, revision, access)
        pushed = _commit(publication, repo_id, revision, info.sha, access, create_pr, commit_message)
    if not create_pr and found.source in ("folder", "store"):
        _remember(found.folder, publication.config, pushed)
    _log.info("%s is at %s", publication.config.name, pushed.url)
    return pushed


def _target(repo_id: str, revision: str | None) -> tuple[str, str | None]:
    match = naming.match_hub_id(repo_id)
    if match is None:
        raise HubError(f"{repo_id!r} is no Hub id; that is org/name, or org/name@branch.")
    if revision is not None and match.revision not in (None, revision):
        raise ConfigError(f"{repo_id} names the branch {match.revision}, and revision={revision!r} another.")
    if revision is not None:
        naming.check_revision(revision)
    return str(match.repo_id), revision or match.revision


def _local(run_or_name: str | Path) -> Found:
    reference = naming.parse(run_or_name)
    if reference.repo_id is not None:
        raise ConfigError(f"{reference.text} is on the Hub already. Push a run's folder, or a name in your store.")
    found = find(run_or_name)
    if found.source == "hub":
        raise ConfigError(f"{reference.text} is on the Hub already, as {found.repo_id}.")
    return found


def _check_loads(found: Found) -> None:
    from zoo.checkpoint import load_folder  # imports torch

    load_folder(found.folder)


def _existing(repo_id: str, revision: str | None, access: Access) -> Any:  # noqa: ANN401 - the library's ModelInfo
    """What is there now: the branch, else the repo (a branch can be made), else None."""
    for wanted in dict.fromkeys((revision, None)):
        try:
            return resolve(repo_id, wanted, access)
        except HubNotFoundError:
            continue
    return None


def _check_existing(info: Any, repo_id: str, private: bool | None, access: Access) -> None:  # noqa: ANN401
    if private is True and not info.private:
        raise ConfigError(
            f"{repo_id} is there already, and public. Make it private on {access.host}/{repo_id}/settings, or push "
            "without private=True."
        )
    text = _text_of(repo_id, info, CONFIG, access)
    if not text:
        return
    try:
        ModelConfig.from_json(text, where=f"{repo_id}: {CONFIG}")
    except ForeignConfigError:
        library = getattr(info, "library_name", None)
        whose = f"of {library}" if library else "of something else"
        raise HubError(f"{repo_id} holds a model {whose}, which a push would damage. Choose another name.") from None
    except ConfigError:
        return  # ours, of another version: it is replaced


def _text_of(repo_id: str, info: Any, name: str, access: Access) -> str:  # noqa: ANN401 - the library's ModelInfo
    listed = list_files(repo_id, info.sha, access)
    if name not in listed:
        return ""
    # what is no text is going to be replaced in any case
    return fetch_file(repo_id, info.sha, listed[name], access).read_text(encoding="utf-8-sig", errors="replace")


def _commit(
    publication: Publication,
    repo_id: str,
    revision: str | None,
    parent: str,
    access: Access,
    create_pr: bool,
    message: str | None,
) -> Pushed:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    api = access.api()
    there = api.list_repo_files(repo_id, revision=parent)
    stale = [name for name in there if is_published(name) and name not in publication.files]
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *(CommitOperationAdd(name, content) for name, content in publication.files.items()),
        *(CommitOperationDelete(name) for name in stale),
    ]
    made = api.create_commit(
        repo_id,
        operations,
        commit_message=message or f"Upload {publication.config.name}",
        revision=revision,
        create_pr=create_pr,
        parent_commit=None if create_pr else parent,
    )
    if not is_commit(made.oid):
        with errand(access) as asking:
            raise asking.strange(
                f"it did not say which commit it has made of {repo_id}; look at {access.host}/{repo_id}"
            )
    number = made.pr_num if create_pr else None
    return Pushed(repo_id, made.oid, str(made.pr_url if create_pr else made.commit_url), number)


def _remember(folder: Path, config: ModelConfig, pushed: Pushed) -> None:
    """Write down where the run is now: a student's card will name that commit, and its own card that repo."""
    # of the config as it is here: a run of an older zoo has no such hash, and then nothing can be remembered
    if read_config(folder).weights_sha256 == config.weights_sha256 and config.weights_sha256:
        try:
            write_origin(folder, Origin(pushed.repo_id, pushed.commit, config.weights_sha256))
            write_card(folder)
        except OSError as error:
            _log.warning("%s cannot be written (%s): it does not know that it is on the Hub.", folder, error)
