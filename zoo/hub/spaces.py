"""A page as a Space of the Hugging Face Hub: static files, which the Hub serves as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zoo.errors import ConfigError, HubError
from zoo.hub.client import LIBRARY, HubClient, translated
from zoo.hub.errand import errand
from zoo.hub.publishing import find_leak
from zoo.models import naming

_TITLE_LETTERS = 60


def push_space(
    folder: Path, repo_id: str, *, private: bool | None, commit_message: str | None, client: HubClient
) -> str:
    """Send a page that `zoo web` wrote to a static Space, in one commit. The Space is made if there is none.

    What an earlier push left there and this page does not have is removed.

    Args:
        folder: The page.
        repo_id: "org/name".
        private: Whether a Space that is made is for its owner alone; what the account says by default.
        commit_message: The commit's title.
        client: How to reach the Hub.

    Returns:
        The Space's address.

    Raises:
        ConfigError: The page would give away a path of this machine or a token.
        HubError: The Hub cannot be used as asked.
    """
    match = naming.match_hub_id(repo_id)
    if match is None or match.revision:
        raise HubError(f"{repo_id!r} is no name of a Space; that is org/name.")
    index = json.loads((folder / "instruments.json").read_text(encoding="utf-8"))
    (folder / "README.md").write_text(_readme(repo_id, index["instruments"]), encoding="utf-8")
    files = {str(file.relative_to(folder)): file for file in sorted(folder.rglob("*")) if file.is_file()}
    if leak := find_leak(files, client):
        raise ConfigError(f"Nothing was sent: {leak}. Take it out and push again.")
    with errand(client), translated(repo_id, None, client):
        api = client.api()
        api.create_repo(repo_id, repo_type="space", space_sdk="static", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            repo_type="space",
            commit_message=commit_message or f"Upload the page of {len(index['instruments'])} instruments",
            delete_patterns="*",
        )
    return f"{client.host}/spaces/{repo_id}"


def _readme(repo_id: str, instruments: list[dict[str, Any]]) -> str:
    """The Space's README: what the Hub reads at its head, and what the instruments are."""
    import yaml

    names = [str(each["name"]) for each in instruments]
    licences = {each.get("licence") for each in instruments}
    title = ", ".join(names) if len(", ".join(names)) <= _TITLE_LETTERS else repo_id.rpartition("/")[2]
    head: dict[str, Any] = {
        "title": title,
        "emoji": "🎻",
        "colorFrom": "yellow",
        "colorTo": "gray",
        "sdk": "static",
        "pinned": False,
        "tags": [LIBRARY, "ddsp", "audio-synthesis", "timbre-transfer"],
        "short_description": "Small neural instruments, played live in the browser",
    }
    if len(licences) == 1 and (licence := licences.pop()):
        head["license"] = licence
    lines = [f"- {each['name']}: {each.get('licence', 'no licence stated')}" for each in instruments]
    return (
        f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n\n"
        "Small neural instruments that follow a voice, keys, MIDI or a recording, live on this page. Each one's card "
        "there names its teacher, its licence and the authors of the recordings behind it.\n\n"
        + "\n".join(lines)
        + "\n\nMade by `zoo web` of ddsp-zoo.\n"
    )
