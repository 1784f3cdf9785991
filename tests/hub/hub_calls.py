"""A request to the stand-in Hub on its way to an answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from hub_repos import HubError, Repo, check_id

if TYPE_CHECKING:
    from hub_server import HubServer


@dataclass(frozen=True)
class Request:
    """One request as it came: the path with its query and percent signs, headers that ignore case, the whole body."""

    method: str
    path: str
    headers: Message
    body: bytes


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Call:
    """A request on its way through a handler: who asks, and what the address says."""

    hub: HubServer
    request: Request
    user: str | None
    query: dict[str, list[str]]
    words: dict[str, str | None]

    def word(self, name: str) -> str:
        return unquote(self.words[name] or "")

    def flag(self, name: str) -> bool:
        return self.query.get(name, ["false"])[-1].lower() in ("true", "1")

    def json(self) -> dict[str, Any]:
        return json.loads(self.request.body or b"{}")

    def repo(self) -> Repo:
        """The repository of the address, if the caller may know of it."""
        check_id(self.word("id").removeprefix("spaces/"))
        repo = self.hub.repos.get(self.word("id"))
        if repo is None or (repo.private and repo.owner != self.user):
            raise HubError(404, "RepoNotFound", "Repository not found") if self.user else anonymous()
        return repo

    def repo_to_write(self) -> Repo:
        repo = self.repo()
        if self.user is None:
            raise anonymous()
        if repo.owner != self.user:
            hint = "pass `create_pr=1` as a query parameter to create a Pull Request"
            raise HubError(403, "", f"Forbidden: {hint}")
        return repo

    def page(self, items: list[Any], size: int) -> Answer:
        """One page of a list, with a link to the next."""
        start = int(self.query.get("cursor", ["0"])[-1])
        answer = as_json(items[start : start + size])
        if start + size < len(items):
            parts = urlsplit(self.request.path)
            query = [(key, value) for key, value in parse_qsl(parts.query) if key != "cursor"]
            following = urlencode([*query, ("cursor", str(start + size))])
            answer.headers["Link"] = f'<{self.hub.endpoint}{parts.path}?{following}>; rel="next"'
        return answer


def anonymous() -> HubError:
    """Over https the client takes a bare 401 for a missing repository; over http it needs the code to do so."""
    return HubError(401, "RepoNotFound", "Invalid username or password.")


def as_json(value: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json; charset=utf-8"})
