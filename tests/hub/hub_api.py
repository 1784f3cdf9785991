"""The Hub's calls: the table of their addresses, and who answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from hub_repos import HubError

if TYPE_CHECKING:
    from hub_server import HubServer
import hub_accounts as accounts
import hub_reading as reading
import hub_writing as writing
from hub_calls import Answer, Call, Request, as_json


def handle(hub: HubServer, request: Request) -> Answer:
    """The answer to a request; errors become answers too."""
    parts = urlsplit(request.path)
    query = parse_qs(parts.query, keep_blank_values=True)
    asked = "GET" if request.method == "HEAD" else request.method
    try:
        for method, pattern, handler in ROUTES:
            found = pattern.fullmatch(parts.path)
            if found and method == asked:
                with hub.lock:
                    return handler(Call(hub, request, _user(hub, request), query, found.groupdict()))
        raise HubError(404, "", f"The stand-in has no {request.method} {parts.path}")
    except HubError as error:
        answer = as_json({"error": error.message}, error.status)
        answer.headers.update(error.headers, **{"X-Error-Message": error.message})
        if error.code:
            answer.headers["X-Error-Code"] = error.code
        return answer


def _user(hub: HubServer, request: Request) -> str | None:
    sent = request.headers.get("Authorization", "")
    if sent and sent.removeprefix("Bearer ") not in hub.users:
        raise HubError(401, "", "Invalid credentials in Authorization header")
    return hub.users.get(sent.removeprefix("Bearer "))


# The first that fits answers. An id takes whatever stands there, so that a malformed one is told what it is.
# A Space is told from a model by what its id begins with.
_MODEL, _REV = r"/api/(?:models/|(?=spaces/))(?P<id>.+?)", r"(?P<rev>[^/]+)"
ROUTES: list[tuple[str, re.Pattern[str], Callable[[Call], Answer]]] = [
    (method, re.compile(pattern), handler)
    for method, pattern, handler in (
        ("GET", "/api/whoami-v2", accounts.whoami),
        ("POST", "/api/validate-yaml", writing.validate_yaml),
        ("POST", "/api/repos/create", accounts.create_repo),
        ("DELETE", "/api/repos/delete", accounts.delete_repo),
        ("GET", "/api/models", reading.list_models),
        ("GET", f"{_MODEL}/revision/{_REV}", reading.model_info),
        ("GET", f"{_MODEL}/tree/{_REV}(?:/(?P<path>.+))?", reading.tree),
        ("POST", f"{_MODEL}/paths-info/{_REV}", reading.paths_info),
        ("GET", f"{_MODEL}/refs", reading.refs),
        ("GET", f"{_MODEL}/commits/{_REV}", reading.commits),
        ("GET", f"{_MODEL}/auth-check", accounts.auth_check),
        ("PUT", f"{_MODEL}/settings", accounts.settings),
        ("POST", f"{_MODEL}/preupload/{_REV}", writing.preupload),
        ("POST", f"{_MODEL}/commit/{_REV}", writing.commit),
        ("POST", f"{_MODEL}/tag/{_REV}", writing.create_tag),
        ("DELETE", f"{_MODEL}/tag/{_REV}", writing.delete_tag),
        ("POST", f"{_MODEL}/branch/{_REV}", writing.create_branch),
        ("DELETE", f"{_MODEL}/branch/{_REV}", writing.delete_branch),
        ("GET", "/api/models/(?P<id>[^/]+(?:/[^/]+)?)", reading.model_info),
        ("POST", "/(?P<id>.+?).git/info/lfs/objects/batch", writing.lfs_batch),
        ("PUT", "/(?P<id>.+?).git/lfs/(?P<oid>[0-9a-f]{64})", writing.lfs_upload),
        ("POST", "/(?P<id>.+?).git/lfs/(?P<oid>[0-9a-f]{64})/verify", writing.lfs_verify),
        ("GET", f"/(?P<id>.+?)/resolve/{_REV}/(?P<path>.+)", reading.resolve),
    )
]
