"""Finding the folder that a model reference names, and loading it.

In this order: a folder; a name (the local store, the models that ship with zoo, the Hub repo that a shipped card
names); a Hub id. A folder, a stored and a shipped model never touch the network.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.checks.options import refuse, writable_fault
from zoo.checks.path_names import check_path_name
from zoo.errors import (
    CheckpointError,
    ConfigError,
    HubNotFoundError,
    HubUnreachableError,
    ZooError,
)
from zoo.hub.client import HubClient
from zoo.hub.snapshot import MAIN, Snapshot, fetch_snapshot
from zoo.hub.source import HubSource, read_source, write_source
from zoo.models import architectures, naming
from zoo.registry import paths
from zoo.storage.config import ModelConfig, read_config
from zoo.storage.exports import check_exports
from zoo.storage.header import check_weights
from zoo.storage.run_files import WEIGHTS
from zoo.storage.store import enter, shipped_offers, stored_models

if TYPE_CHECKING:
    import torch

    from zoo.hub.pushing import PushResult
    from zoo.models.model import Model

_log = logging.getLogger("zoo")


@dataclass(frozen=True)
class ResolvedModel:
    """Where a reference led.

    Attributes:
        folder: With config.json and the weights.
        source: "folder", "store", "shipped" or "hub".
        reference: What was asked for.
        repo_id: The Hub repo that holds the same model, where that is known.
        commit: Its commit there.
    """

    folder: Path
    source: str
    reference: naming.Reference
    repo_id: str | None = None
    commit: str | None = None

    def __str__(self) -> str:
        """Where it was found, for messages."""
        at = f", commit {self.commit[:12]}" if self.source == "hub" and self.commit else ""
        return f"{self.source}: {self.folder}{at}"

    def record(self, config: ModelConfig, weights: str) -> dict[str, Any]:
        """What the lineage of a model made with this one says of it, and of its own making.

        `id` is what finds it again: with `commit` a Hub repo, else a name; a mere folder is under `path`, which stays
        on this machine.

        Args:
            config: Of the model that was found.
            weights: The hash of its weights.
        """
        known: dict[str, Any] = {"id": self.repo_id or self.reference.name or config.name}
        if self.repo_id:
            known["commit"] = self.commit
        elif self.source == "folder":
            known["path"] = str(self.folder.resolve())
        known |= {"name": config.name, "weights": weights}
        if config.lineage:
            known["lineage"] = config.lineage
        return known


def find(
    ref: str | Path,
    *,
    revision: str | None = None,
    client: HubClient | None = None,
    every_file: bool = False,
) -> ResolvedModel:
    """Find the folder that a model reference names; a Hub repo is fetched.

    Args:
        ref: A folder, `local-dir:PATH`, a name such as "gru-L-flute", or a Hub id "org/name[@revision]".
        revision: A branch, tag or commit of a Hub repo.
        client: How to reach the Hub; what the environment says by default.
        every_file: Fetch all files of a Hub repo, not only config and weights.

    Raises:
        ModelNotFoundError: There is none; it says what would make one.
        PluginError: Several distributions ship one of that name.
        HubError: The Hub cannot be used as asked.
    """
    reference = naming.parse(ref)
    client = client or HubClient()
    if reference.folder is not None:
        found = _local(reference.folder, "folder", reference)
    elif reference.name is not None:
        found = _find_name(reference, reference.name, revision, client, every_file=every_file)
    else:
        found = _find_on_hub(reference, revision, client, every_file=every_file)
    if revision is not None and found.source != "hub":
        raise ConfigError(
            f"{reference.text} is a {found.source} model ({found.folder}), which has no revisions. Take revision= out, "
            "or give a Hub id: org/name"
        )
    _log.info("%s: taken from %s", reference.text, found)
    return found


def _local(folder: Path, source: str, reference: naming.Reference) -> ResolvedModel:
    origin = read_source(folder)
    if origin is None:
        return ResolvedModel(folder, source, reference)
    return ResolvedModel(folder, source, reference, origin.repo_id, origin.commit)


def _find_on_hub(
    reference: naming.Reference, revision: str | None, client: HubClient, *, every_file: bool
) -> ResolvedModel:
    if revision is not None and reference.revision not in (None, revision):
        raise ConfigError(
            f"{reference.text} names the revision {reference.revision}, and revision={revision!r} another."
        )
    assert reference.repo_id is not None  # noqa: S101 - a reference has one of three
    wanted = naming.check_revision(revision or reference.revision or MAIN)
    try:
        got: Snapshot = fetch_snapshot(reference.repo_id, wanted, client, every_file=every_file)
    except (HubNotFoundError, HubUnreachableError) as error:
        if reference.text != reference.repo_id:
            raise
        # what looks like a Hub id may have been meant as a folder
        raise type(error)(f"There is no folder {reference.text} here, and on the Hub: {error}") from error
    return ResolvedModel(got.folder, "hub", reference, got.repo_id, got.commit)


def _find_name(
    reference: naming.Reference, name: str, revision: str | None, client: HubClient, *, every_file: bool
) -> ResolvedModel:
    stored, shipped = stored_models(), shipped_offers()
    # one's own models come first, under whichever of a model's names they were stored
    for trained in (stored, shipped):
        if name not in stored and trained:
            name = _known_as(name, trained)
    if name in stored:
        if name in shipped:
            _log.warning("%s in the local store hides the shipped model of that name.", name)
        return _local(stored[name], "store", reference)
    if name in shipped:
        return _local(paths.only_one(f"The model {name!r}", shipped[name]), "shipped", reference)
    from zoo.cards import hub_reference  # cards are only read for a name that nothing else has

    offers = [path for path in _cards() if path.name == name and hub_reference(path)]
    if offers:
        offer = paths.only_one(f"The model {name!r}", offers)
        named = naming.match_hub_id(str(hub_reference(offer)))
        if named is None:  # never a folder here, whatever a card says
            raise CheckpointError(
                f"The card in {offer} names {hub_reference(offer)!r} as its place, which is no Hub id."
            )
        return _find_on_hub(named, revision, client, every_file=every_file)
    raise architectures.no_weights(name, [*stored, *shipped])


def _known_as(name: str, trained: Collection[str]) -> str:
    """The name among a model's own and its other ones that a trained one has; the name itself where there is none."""
    if name in trained:
        return name
    try:
        others = architectures.other_names(name)
    except ZooError:  # no architecture at all, or a plugin that is broken: what follows says so
        return name
    return next((other for other in others if other in trained), name)


def published_offers() -> dict[str, list[Path]]:
    """Models whose card ships with zoo or a plugin and whose weights are on the Hub: name to the cards' folders."""
    from zoo.cards import hub_reference

    found: dict[str, list[Path]] = {}
    for path in _cards():
        try:
            if hub_reference(path):
                found.setdefault(path.name, []).append(path)
        except (ZooError, OSError) as error:  # one broken card is no reason to keep all other names from being found
            _log.warning("The card of %s (%s) is left out: %s", path.name, paths.origin_of(path), error)
    return found


def _cards() -> Iterator[Path]:
    """The folders of shipped cards without weights."""
    shipped = shipped_offers()
    for folder in paths.model_card_folders():
        try:
            yield from (path for path in sorted(folder.iterdir()) if path.is_dir() and path.name not in shipped)
        except OSError as error:
            _log.warning("The models in %s are left out: %s", folder, error)


def load(
    ref: str | Path,
    *,
    revision: str | None = None,
    device: str | torch.device | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    endpoint: str | None = None,
) -> Model:
    """Load a trained model, in eval mode.

    Example:
        >>> model = zoo.load("gru-M-tones")
        >>> model = zoo.load("org/gru-L-flute@v1")  # doctest: +SKIP

    Args:
        ref: A folder, `local-dir:PATH`, a name such as "gru-L-flute" (the local store, then what ships with zoo, then
            the Hub repo that its card names), or a Hub id "org/name[@revision]".
        revision: A branch, tag or commit of a Hub repo.
        device: Where to put it; the CPU by default.
        cache_dir: Where fetched files are kept; huggingface_hub's own cache by default.
        local_files_only: Ask nobody, take what is in the cache.
        token: Of your Hub account; the saved login by default.
        endpoint: Another Hub than huggingface.co.

    Raises:
        ModelNotFoundError: There is no such model; a name without weights never gives a random one.
        HubError: The Hub cannot be used as asked, or the repo is no model of zoo.
        CheckpointError: Its files are damaged or do not fit each other.
        PluginError: It needs a component that is not installed.
    """
    from zoo.models.loading import load_folder  # torch is only imported when a model is really loaded

    client = HubClient(cache_dir, local_files_only, token, endpoint)
    found = find(ref, revision=revision, client=client)
    try:
        return load_folder(found.folder, device=device)
    except (CheckpointError, ConfigError):
        if found.source != "hub" or client.offline or found.repo_id is None:
            raise
        # What lies in the cache has been damaged since it was fetched: compare it with the Hub's, once.
        whole = fetch_snapshot(found.repo_id, found.commit, client, every_file=True)
        return load_folder(whole.folder, device=device)


def fetch(
    ref: str | Path,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    endpoint: str | None = None,
    name: str | None = None,
    force: bool = False,
) -> Path:
    """Get all of a model's files, and say where they are; a Hub repo is downloaded, anything else is here already.

    Example:
        >>> folder = zoo.fetch("org/gru-L-flute@v1", name="gru-L-flute")  # doctest: +SKIP

    Args:
        ref: See `zoo.load`.
        revision: See `zoo.load`.
        cache_dir: See `zoo.load`.
        local_files_only: See `zoo.load`.
        token: See `zoo.load`.
        endpoint: See `zoo.load`.
        name: Enter the model into the local store under this name, architecture-instrument: "gru-L-flute".
        force: Replace a model of that name there.

    Returns:
        The folder, with config.json, model.safetensors, the card and the rest of a run. Files in the Hub's cache are
        shared with others: do not write there.

    Raises:
        ModelNotFoundError: There is no such model.
        HubError: The Hub cannot be used as asked, or the repo is no model of zoo.
        CheckpointError: The weights are damaged, or not those of the config beside them; or an export is not the file
            that export.json names.
        ConfigError: The name is taken, or of another architecture.
    """
    client = HubClient(cache_dir, local_files_only, token, endpoint)
    if name is not None:
        fix = "Type: export ZOO_HOME=FOLDER, with a folder of yours, or leave the name out."
        check_path_name(name, "--name", fix="Call it architecture-instrument, e.g. gru-L-flute.")
        refuse([writable_fault(paths.store_folder(), "The local store", fix=fix)])
    found = find(ref, revision=revision, client=client, every_file=True)
    config = read_config(found.folder)
    check_weights(found.folder / WEIGHTS, config)
    check_exports(found.folder)
    if name is None:
        return found.folder
    source = None
    if found.repo_id and found.commit and config.weights_sha256:
        source = HubSource(found.repo_id, found.commit, config.weights_sha256)

    def note(copy: Path) -> None:
        if source is not None:
            write_source(copy, source)

    # the Hub's cache is made of links, which lead to other folders of that cache
    cache = found.folder.parents[2] if found.source == "hub" else None
    with architectures.reserved(name, config=config, force=force, doing=f"fetching {ref}"):
        return enter(name, found.folder, links_into=cache, force=force, complete=note)


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
    exports: str | Path | None = None,
    recordings: bool = True,
) -> PushResult:
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
        exports: A folder that `zoo.export.export_run` wrote: its files are sent too, in place of the run's own.
        recordings: Send the excerpts of held-out recordings in `samples/` too, beside the model's sounds.

    Returns:
        The commit.

    Raises:
        ModelNotFoundError: There is no such run or name.
        CheckpointError: Its files are damaged: only what loads is sent.
        ConfigError: It is on the Hub already, or would give away a path of this machine or a token.
        HubError: The Hub cannot be used as asked, or the repo holds something else than a model of zoo.
    """
    from zoo.hub.pushing import push_folder
    from zoo.models.loading import load_folder  # imports torch

    reference = naming.parse(run_or_name)
    if reference.repo_id is not None:
        raise ConfigError(
            f"There is no folder {reference.text}, and what is on the Hub already is not pushed again. Push a run's "
            "folder, or a name in your store."
        )
    found = find(run_or_name)
    if found.source == "hub":
        raise ConfigError(f"{reference.text} is on the Hub already, as {found.repo_id}.")
    load_folder(found.folder)  # only what loads is sent
    return push_folder(
        found.folder,
        repo_id,
        private=private,
        revision=revision,
        create_pr=create_pr,
        commit_message=commit_message,
        client=HubClient(token=token, endpoint=endpoint),
        remember=found.source in ("folder", "store"),
        exports=None if exports is None else Path(exports),
        recordings=recordings,
    )
