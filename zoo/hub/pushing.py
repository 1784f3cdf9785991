"""Sending a run to the Hub, in one commit."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from zoo.cards import write_card
from zoo.errors import ConfigError, ForeignConfigError, HubError, HubNotFoundError
from zoo.hub.client import HubClient, is_commit, resolve, translated
from zoo.hub.errand import errand
from zoo.hub.publishing import Publication, prepare_publication
from zoo.hub.snapshot import MAIN, fetch_file, list_files
from zoo.hub.source import HubSource, write_source
from zoo.models import naming
from zoo.storage.config import ModelConfig, read_config
from zoo.storage.exports import read_exports, replace_exports
from zoo.storage.reading import copy_run
from zoo.storage.run_files import CARD, CONFIG, RECORDING, is_published

_log = logging.getLogger("zoo")


@dataclass(frozen=True)
class PushResult:
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


def push_folder(
    folder: Path,
    repo_id: str,
    *,
    private: bool | None,
    revision: str | None,
    create_pr: bool,
    commit_message: str | None,
    client: HubClient,
    remember: bool,
    exports: Path | None = None,
    recordings: bool = True,
) -> PushResult:
    """Send what others get of a run to the Hub, in one commit; see `zoo.push`.

    Args:
        folder: The run.
        repo_id: See `zoo.push`.
        private: See `zoo.push`.
        revision: See `zoo.push`.
        create_pr: See `zoo.push`.
        commit_message: See `zoo.push`.
        client: How to reach the Hub.
        remember: Note in the folder where it is on the Hub.
        exports: See `zoo.push`.
        recordings: See `zoo.push`.
    """
    repo_id, revision = _target(repo_id, revision)
    with TemporaryDirectory() as place, errand(client):
        info = _existing(repo_id, revision, client)
        if info is not None:
            _check_existing(info, repo_id, private, client)
        previous_card = _text_of(repo_id, info, CARD, client) if info is not None else ""
        copy = Path(place)
        copy_run(folder, copy)  # one version, whatever is saved there while it is sent
        if not recordings:
            for excerpt in copy.glob(f"samples/*{RECORDING}"):
                excerpt.unlink()
        if exports is not None:
            replace_exports(copy, exports)
            if not read_exports(copy):
                raise ConfigError(f"{exports} has no exports of the weights that are in {folder} now: export again.")
        publication = prepare_publication(copy, repo_id=repo_id, client=client, previous_card=previous_card)
        pushed = _send(publication, repo_id, revision, info, private, client, create_pr, commit_message)
    if remember and not create_pr:
        _remember(folder, publication.config, pushed)
    _log.info("%s is at %s", publication.config.name, pushed.url)
    return pushed


def _send(
    publication: Publication,
    repo_id: str,
    revision: str | None,
    info: Any,  # noqa: ANN401 - the library's ModelInfo
    private: bool | None,
    client: HubClient,
    create_pr: bool,
    commit_message: str | None,
) -> PushResult:
    with translated(repo_id, revision, client):
        if info is None:
            client.api().create_repo(repo_id, private=private, exist_ok=True)
            info = resolve(repo_id, None, client)
        if revision not in (None, MAIN) and not create_pr:
            client.api().create_branch(repo_id, branch=str(revision), exist_ok=True)
            info = resolve(repo_id, revision, client)
        return _commit(publication, repo_id, revision, info.sha, client, create_pr, commit_message)


def _target(repo_id: str, revision: str | None) -> tuple[str, str | None]:
    match = naming.match_hub_id(repo_id)
    if match is None:
        raise HubError(f"{repo_id!r} is no Hub id; that is org/name, or org/name@branch.")
    if revision is not None and match.revision not in (None, revision):
        raise ConfigError(f"{repo_id} names the branch {match.revision}, and revision={revision!r} another.")
    if revision is not None:
        naming.check_revision(revision)
    return str(match.repo_id), revision or match.revision


def _existing(repo_id: str, revision: str | None, client: HubClient) -> Any:  # noqa: ANN401 - the library's ModelInfo
    """What is there now: the branch, else the repo (a branch can be made), else None."""
    for wanted in dict.fromkeys((revision, None)):
        try:
            return resolve(repo_id, wanted, client)
        except HubNotFoundError:
            continue
    return None


def _check_existing(info: Any, repo_id: str, private: bool | None, client: HubClient) -> None:  # noqa: ANN401
    if private is True and not info.private:
        raise ConfigError(
            f"{repo_id} is there already, and public. Make it private on {client.host}/{repo_id}/settings, or push "
            "without private=True."
        )
    text = _text_of(repo_id, info, CONFIG, client)
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


def _text_of(repo_id: str, info: Any, name: str, client: HubClient) -> str:  # noqa: ANN401 - the library's ModelInfo
    listed = list_files(repo_id, info.sha, client)
    if name not in listed:
        return ""
    # what is no text is going to be replaced in any case
    return fetch_file(repo_id, info.sha, listed[name], client).read_text(encoding="utf-8-sig", errors="replace")


def _commit(
    publication: Publication,
    repo_id: str,
    revision: str | None,
    parent: str,
    client: HubClient,
    create_pr: bool,
    message: str | None,
) -> PushResult:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    api = client.api()
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
        with errand(client) as asking:
            raise asking.strange(
                f"it did not say which commit it has made of {repo_id}; look at {client.host}/{repo_id}"
            )
    number = made.pr_num if create_pr else None
    return PushResult(repo_id, made.oid, str(made.pr_url if create_pr else made.commit_url), number)


def _remember(folder: Path, config: ModelConfig, pushed: PushResult) -> None:
    """Write down where the run is now: a student's card will name that commit, and its own card that repo."""
    # of the config as it is here: a run of an older zoo has no such hash, and then nothing can be remembered
    if read_config(folder).weights_sha256 == config.weights_sha256 and config.weights_sha256:
        try:
            write_source(folder, HubSource(pushed.repo_id, pushed.commit, config.weights_sha256))
            write_card(folder)
        except OSError as error:
            _log.warning("%s cannot be written (%s): it does not know that it is on the Hub.", folder, error)
