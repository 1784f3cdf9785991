"""What of a run is sent to the Hub: files for others, without a trace of the machine that they come from.

Requirements it meets:

- only files of a run (see `zoo.storage.run_files`), never a link that leads elsewhere;
- where the run speaks of places on this machine (its data, its teacher's folder), the sent text speaks of names;
- no byte of what is sent holds the user's home folder, the working folder, or a login token: better nothing is sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.cards import card_text
from zoo.checks.text_files import read_text
from zoo.errors import CheckpointError, ConfigError
from zoo.hub.client import HubClient
from zoo.storage.config import ModelConfig, read_config
from zoo.storage.exports import read_exports
from zoo.storage.files import file_hash
from zoo.storage.lineage import ORIGINS, teacher_reference
from zoo.storage.run_files import CARD, CONFIG, GOLDEN, WEIGHTS, is_export, published_files

_GIN = ("config.gin", "operative.gin")
_TOKEN = re.compile(rb"hf_[A-Za-z0-9]{30,}")
_PLACE = re.compile(
    r"""^(?P<key>DATASET|TEACHER|[\w./]*\.(?:dataset|teacher|out)) = (?P<quote>['"])(?P<value>.*)(?P=quote)$"""
)
_STRING = re.compile(r"""(?P<quote>['"])(?P<value>(?:~|/|[A-Za-z]:[\\/]|\.\.?/)[^'"\n]*)(?P=quote)""")


@dataclass(frozen=True)
class Publication:
    """What is sent.

    Attributes:
        config: The model's config as it is sent.
        files: By their name in the repo: a file to send as it is, or its content.
    """

    config: ModelConfig
    files: dict[str, Path | bytes]


def prepare_publication(folder: Path, *, repo_id: str, client: HubClient, previous_card: str = "") -> Publication:
    """Choose what of a run is sent, and take this machine's paths out.

    Args:
        folder: The run.
        repo_id: Where it will be.
        client: How the Hub is reached; its token must not be among what is sent.
        previous_card: The card that is there now; notes that a person wrote into it stay where the run's card has none.

    Raises:
        ConfigError: Something in the run would give away a path of this machine or a token; it says where.
        CheckpointError: The folder holds no model.
    """
    public = public_files(folder)
    card = card_text(folder, repo_id=repo_id, config=public.config, other_cards=[previous_card])
    publication = Publication(public.config, {**public.files, CARD: card.encode()})
    if leak := find_leak(publication.files, client):
        raise ConfigError(f"Nothing was sent: {leak}. Take it out and push again.")
    return publication


def public_files(folder: Path) -> Publication:
    """What of a run others get, with this machine's paths taken out; the card is the run's own.

    Raises:
        CheckpointError: The folder holds no model.
    """
    config = _public_config(read_config(folder), folder)
    files: dict[str, Path | bytes] = dict(published_files(folder))
    if not read_exports(folder):  # none, or of other weights
        files = {name: content for name, content in files.items() if not is_export(name)}
    files[CONFIG] = config.to_json().encode()
    for name in _GIN:
        if name in files:
            files[name] = _public_gin(read_text(folder / name, error=CheckpointError), config).encode()
    return Publication(config, files)


def _public_config(config: ModelConfig, folder: Path) -> ModelConfig:
    lineage = json.loads(json.dumps(config.lineage))  # a copy all the way down
    _forget_places(lineage)
    # Runs of an older zoo did not write it.
    digest = config.weights_sha256 or file_hash(folder / WEIGHTS)
    return config.with_changes(lineage=lineage, weights_sha256=digest)


def _forget_places(lineage: dict[str, Any]) -> None:
    for origin in map(lineage.get, ORIGINS):
        if isinstance(origin, dict):
            origin.pop("path", None)
            if not origin.get("commit") and "/" in str(origin.get("id", "")):
                origin["id"] = origin.get("name", "unknown")
            if isinstance(origin.get("lineage"), dict):
                _forget_places(origin["lineage"])


def _public_gin(text: str, config: ModelConfig) -> str:
    names = {"dataset": config.lineage.get("dataset", {}).get("name"), "teacher": teacher_reference(config)}
    lines = []
    for line in text.splitlines():
        if match := _PLACE.match(line):
            key = match["key"].rpartition(".")[2].lower()
            name = names.get(key) or Path(match["value"]).name
            line = "" if key == "out" else f"{match['key']} = {name!r}"
        else:
            line = _STRING.sub(lambda found: repr(Path(found["value"]).name), line)
        lines.append(line)
    return "\n".join(lines) + "\n"


def find_leak(files: Mapping[str, Path | bytes], client: HubClient) -> str | None:
    """Where files hold a path of this machine or a login token, e.g. "config.gin, line 3, holds ..."; None for nowhere.

    Args:
        files: By their name within a run: a file, or its content.
        client: Its token is looked for; without one, that of the saved login.
    """
    from huggingface_hub import get_token

    token = client.token if isinstance(client.token, str) else get_token()
    secrets = {"a login token": [token.encode()] if token else []}
    # A home that is the root of all files, or nearly so, tells nothing.
    places = {str(place) for place in (Path.home(), Path.cwd()) if len(str(place)) > 3}
    secrets["a path of this machine"] = [place.encode() for place in places]
    for name, content in files.items():
        data = content.read_bytes() if isinstance(content, Path) else content
        for what, values in secrets.items():
            for value in values:
                if value in data:
                    return _leak(name, what, data, data.index(value))
        if name not in (WEIGHTS, GOLDEN) and (match := _TOKEN.search(data)):
            return _leak(name, "what looks like a login token", data, match.start())
    return None


def _leak(name: str, what: str, data: bytes, position: int) -> str:
    line = data.count(b"\n", 0, position) + 1
    where = f"{name}, line {line}," if name.endswith((".md", ".gin", ".json", ".csv")) else name
    return f"{where} holds {what}"
