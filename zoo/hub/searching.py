"""Finding models of zoo on the Hub, by the tag that every card of ours has."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass

from zoo.hub.client import LIBRARY, HubClient, reach, translated
from zoo.hub.errand import errand


@dataclass(frozen=True)
class SearchHit:
    """A model on the Hub.

    Attributes:
        repo_id: "org/name".
        downloads: In the last 30 days, as the Hub counts.
        changed: The day of the last commit, "2026-01-31"; empty where the Hub does not say.
        private: Whether only this login's account sees it.
    """

    repo_id: str
    downloads: int
    changed: str
    private: bool


def search(pattern: str = "*", *, org: str | None = None, client: HubClient | None = None) -> list[SearchHit]:
    """Models on the Hub whose name fits, sorted by their ids.

    Args:
        pattern: With the wildcards `*` and `?`; of the name after the slash, or of the whole id where it has a slash.
        org: Only those of this account.
        client: How to reach the Hub.

    Raises:
        HubError: The Hub does not answer, or refuses.
    """
    client = client or HubClient()
    found = []
    with translated(org or "", None, client), errand(client) as asking:
        reach(client)
        for info in client.api().list_models(filter=LIBRARY, author=org, search=_longest_word(pattern)):
            if not isinstance(info.id, str) or not isinstance(info.downloads or 0, int):
                raise asking.strange("a model in its list has no id, or no number of downloads")
            text = info.id if "/" in pattern else info.id.rpartition("/")[2]
            if fnmatch.fnmatchcase(text, pattern):
                changed = info.last_modified.date().isoformat() if info.last_modified else ""
                found.append(SearchHit(info.id, info.downloads or 0, changed, bool(info.private)))
    return sorted(found, key=lambda listed: listed.repo_id)


def _longest_word(pattern: str) -> str | None:
    """What the Hub itself can search for, so that it need not list all there is."""
    words = re.split(r"[*?\[\]/]+", pattern)
    return max(words, key=len) or None
