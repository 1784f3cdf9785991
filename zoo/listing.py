"""What models there are, and what is known of each, without loading any."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from zoo import registry
from zoo.errors import ConfigError
from zoo.hub.client import HubClient
from zoo.models import architectures
from zoo.registry import paths
from zoo.resolve import find
from zoo.storage import store
from zoo.storage.store import ModelInfo, describe_folder


def list_models(
    pattern: str = "*",
    *,
    pretrained: bool = False,
    hub: bool = False,
    org: str | None = None,
    token: str | bool | None = None,
    endpoint: str | None = None,
) -> list[str]:
    """Names of models, sorted: architectures, and trained models of the local store and of zoo itself.

    With `hub`, the ids of those on the Hugging Face Hub instead.

    Example:
        >>> zoo.list_models("gru-?")
        ['gru-L', 'gru-M', 'gru-S']

    Args:
        pattern: With the wildcards `*` and `?`.
        pretrained: Only those with weights on this machine.
        hub: Search the Hub; the pattern is of the name after the slash, or of the whole id where it has a slash.
        org: Only those of this account on the Hub.
        token: Of your Hub account, for private ones; the saved login by default.
        endpoint: Another Hub than huggingface.co.

    Raises:
        HubError: The Hub does not answer, or refuses.
        ConfigError: `org` without `hub`.
    """
    if hub:
        from zoo.hub.searching import search

        return [found.repo_id for found in search(pattern, org=org, client=HubClient(token=token, endpoint=endpoint))]
    if org is not None:
        raise ConfigError(f"org={org!r} is an account on the Hub: say hub=True too.")
    names = {*store.stored_models(), *store.shipped_models()}
    if not pretrained:
        names |= set(registry.models.names())
    return sorted(name for name in names if fnmatch.fnmatchcase(name, pattern))


def info(ref: str | Path) -> ModelInfo:
    """What is known of a model: an architecture, a trained model by name, or a folder.

    Raises:
        ModelNotFoundError: There is no such model.
        ConfigError: Its config.json is damaged.
    """
    name = str(ref)
    if name in registry.models and not Path(name).is_dir() and name not in list_models(pretrained=True):
        return ModelInfo(
            name, "architecture", None, architectures.config_of(name), brought_by=registry.models.entry(name).origin
        )
    found = find(ref)
    known = describe_folder(found.folder)
    if found.source == "folder":
        return known
    if found.source == "hub":
        return replace(known, status=f"on the Hub ({found.repo_id} at {found.commit})")
    return replace(known, name=name, status=status_of(name))


def status_of(name: str) -> str:
    """What stands behind a name of `list_models`, in a word or two."""
    return statuses([name])[name]


def statuses(names: Iterable[str]) -> dict[str, str]:
    """What stands behind names of `list_models`, looked up once for all."""
    stored, shipped, architectures = store.stored_models(), store.shipped_offers(), registry.models.entries()
    return {name: _status(name in stored, shipped.get(name, []), architectures.get(name, [])) for name in names}


def _status(stored: bool, shipped: list[Path], architectures: list[registry.Entry]) -> str:
    if stored:
        return "stored (hides the shipped one)" if shipped else "stored"
    if shipped:
        origins = sorted(paths.origin_of(folder) for folder in shipped)
        if len(origins) > 1:
            return f"clash: shipped by {' and '.join(origins)}"
        own = (registry.OWN_DISTRIBUTION, registry.MODELS_DISTRIBUTION)
        return "shipped" if origins[0].split()[0] in own else f"shipped by {origins[0]}"
    if len(architectures) > 1:
        return f"clash: brought by {' and '.join(sorted(offer.origin for offer in architectures))}"
    return "architecture"
