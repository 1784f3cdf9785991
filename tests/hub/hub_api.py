"""The Hub's calls, each a small function from a call to an answer, and the table of their addresses."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

import hub_cards
from hub_files import file_answer, file_info, list_tree
from hub_repos import BINARY, Blob, HubError, Repo, check_id

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
        check_id(self.word("id"))
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


# --- accounts and repositories


def whoami(call: Call) -> Answer:
    if call.user is None:
        raise HubError(401, "", "Invalid username or password.")
    namespaces = {repo.id.split("/")[0] for repo in call.hub.repos.values() if repo.owner == call.user}
    orgs = [{"type": "org", "name": name} for name in sorted(namespaces - {call.user})]
    access = {"type": "access_token", "accessToken": {"displayName": "tests", "role": "write"}}
    return as_json({"type": "user", "id": call.user, "name": call.user, "orgs": orgs, "auth": access})


def create_repo(call: Call) -> Answer:
    wish = call.json()
    if call.user is None:
        raise HubError(401, "", "Invalid username or password.")
    repo_id = f"{wish.get('organization') or call.user}/{wish['name']}"
    check_id(repo_id)
    namespace = repo_id.split("/")[0]
    if wish.get("type", "model") != "model":
        raise HubError(400, "", "The stand-in has models only")
    if call.user != call.hub.owner and namespace != call.user:
        raise HubError(403, "", f'You don\'t have the rights to create a model under the namespace "{namespace}"')
    answer = {"url": f"{call.hub.endpoint}/{repo_id}", "name": repo_id, "id": repo_id}
    if repo_id in call.hub.repos:
        return as_json({"error": "You already created this model repo", **answer}, 409)
    private = wish.get("visibility") == "private" or bool(wish.get("private"))
    repo = call.hub.repos[repo_id] = Repo(repo_id, call.user, private)
    # A new repository holds this one file, which says what goes to LFS.
    rules = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in BINARY)
    repo.start({".gitattributes": Blob(rules.encode())}, call.user)
    return as_json(answer)


def delete_repo(call: Call) -> Answer:
    wish = call.json()
    call.words["id"] = f"{wish.get('organization') or call.user}/{wish['name']}"
    del call.hub.repos[call.repo_to_write().id]
    return Answer()


def settings(call: Call) -> Answer:
    repo, wish = call.repo_to_write(), call.json()
    repo.private = wish.get("visibility", "private" if repo.private else "public") == "private"
    repo.gated = bool(wish.get("gated", repo.gated))
    return as_json(wish)


def auth_check(call: Call) -> Answer:
    allow_reading(call.repo(), call.user)
    return Answer()


def allow_reading(repo: Repo, user: str | None) -> None:
    """A gated repository shows what it has to everybody, and gives the files to its owner alone."""
    if repo.gated and user != repo.owner:
        restricted = f"Access to model {repo.id} is restricted"
        if user is None:
            raise HubError(401, "GatedRepo", f"{restricted}. You must be authenticated to access it. Please log in.")
        raise HubError(403, "GatedRepo", f"{restricted} and you are not in the authorized list. Ask for access.")


# --- reading


def model_info(call: Call) -> Answer:
    repo = call.repo()
    return as_json(_model(repo, call, call.word("rev") if "rev" in call.words else "main", full=True))


def list_models(call: Call) -> Answer:
    def value(name: str) -> str:
        return call.query.get(name, [""])[-1]

    wanted = {tag for entry in call.query.get("filter", []) for tag in entry.split(",")}
    wanted |= {value("pipeline_tag")} - {""}
    found = []
    for repo in call.hub.repos.values():
        visible = not repo.private or repo.owner == call.user
        named = value("search").lower() in repo.id.lower() and value("author") in ("", repo.id.split("/")[0])
        if visible and named:
            model = _model(repo, call, "main", full=call.flag("full"))
            if wanted <= set(hub_cards.tags(_card(repo, "main"))):
                found.append((repo, model))
    order = {"lastModified": lambda repo: repo.resolve("main").date, "createdAt": lambda repo: repo.created}
    order |= {"downloads": lambda repo: repo.downloads}
    if value("sort") in order:
        found.sort(key=lambda pair: order[value("sort")](pair[0]), reverse=True)
    size = min(int(value("limit") or call.hub.page_size), call.hub.page_size)
    return call.page([model for _, model in found], size)


def _card(repo: Repo, revision: str) -> dict[str, Any]:
    readme = repo.resolve(revision).tree.get("README.md")
    return hub_cards.read_card(readme.data.decode(errors="replace"))[0] if readme else {}


def _model(repo: Repo, call: Call, revision: str, full: bool) -> dict[str, Any]:
    """What the Hub tells of a model: short in lists, in full for one, or exactly what `expand` names."""
    commit, card = repo.resolve(revision), _card(repo, revision)
    siblings: list[dict[str, Any]] = [{"rfilename": path} for path in commit.tree]
    if call.flag("blobs"):
        siblings = [_sibling(repo, path, blob) for path, blob in commit.tree.items()]
    short = {
        "private": repo.private,
        "downloads": repo.downloads,
        "likes": 0,
        "tags": [*hub_cards.tags(card), "region:us"],
        "library_name": card.get("library_name"),
        "pipeline_tag": card.get("pipeline_tag"),
        "createdAt": repo.created,
    }
    more = {
        "author": repo.id.split("/")[0],
        "sha": commit.hash,
        "lastModified": commit.date,
        "gated": "manual" if repo.gated else False,
        "disabled": False,
        "siblings": siblings,
    }
    header = {"cardData": card, "model-index": card.get("model-index")}
    expand = [name for key in ("expand", "expand[]") for name in call.query.get(key, [])]
    chosen = {**short, **(more if full else {}), **(header if "id" in call.words or call.flag("cardData") else {})}
    if expand:
        chosen = {name: text for name, text in {**short, **more, **header}.items() if name in expand}
    return {"_id": repo.id, "id": repo.id, "modelId": repo.id} | {
        name: text for name, text in chosen.items() if text is not None
    }


def _sibling(repo: Repo, path: str, blob: Blob) -> dict[str, Any]:
    entry = file_info(repo, path, blob)
    sibling = {"rfilename": path, "size": entry["size"], "blobId": entry["oid"]}
    if blob.lfs:
        sibling["lfs"] = {"sha256": blob.sha256, "size": entry["size"], "pointerSize": len(blob.pointer)}
    return sibling


def tree(call: Call) -> Answer:
    repo = call.repo()
    entries = list_tree(repo, call.word("rev"), call.word("path").strip("/"), call.flag("recursive"))
    return call.page(entries, call.hub.page_size)


def paths_info(call: Call) -> Answer:
    repo = call.repo()
    paths = parse_qs(call.request.body.decode()).get("paths", [])
    known = {entry["path"]: entry for entry in list_tree(repo, call.word("rev"), "", True)}
    return as_json([known[path] for path in paths if path in known])


def refs(call: Call) -> Answer:
    repo = call.repo()

    def listed(names: dict[str, str], prefix: str) -> list[dict[str, str]]:
        return [{"name": name, "ref": prefix + name, "targetCommit": names[name]} for name in names]

    answer = {
        "branches": listed(repo.branches, "refs/heads/"),
        "tags": listed(repo.tags, "refs/tags/"),
        "converts": [],
    }
    if call.flag("include_prs"):
        answer["pullRequests"] = listed(repo.pulls, "refs/pr/")
    return as_json(answer)


def commits(call: Call) -> Answer:
    history = [
        {
            "id": commit.hash,
            "title": commit.message,
            "message": commit.description,
            "authors": [{"user": commit.author}],
            "date": commit.date,
        }
        for commit in call.repo().history(call.word("rev"))
    ]
    return call.page(history, call.hub.page_size)


def resolve(call: Call) -> Answer:
    repo = call.repo()
    allow_reading(repo, call.user)
    status, headers, body = file_answer(repo, call.word("rev"), call.word("path"), call.request)
    if call.word("path") == "config.json" and call.request.method == "GET":
        repo.downloads += 1
    return Answer(status, body, headers)


# --- writing


def validate_yaml(call: Call) -> Answer:
    _, errors, warnings = hub_cards.read_card(call.json()["content"])
    found = {"errors": [{"message": text} for text in errors], "warnings": [{"message": text} for text in warnings]}
    return as_json(found | ({"error": "Invalid metadata in README.md"} if errors else {}), 400 if errors else 200)


def preupload(call: Call) -> Answer:
    repo = call.repo() if call.flag("create_pr") and call.user else call.repo_to_write()
    there = repo.resolve(call.word("rev")).tree
    files = []
    for file in call.json()["files"]:
        blob = there.get(file["path"])
        mode = "lfs" if call.hub.lfs and file["path"].endswith(BINARY) else "regular"
        oid = {"oid": blob.etag} if blob else {}
        files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False} | oid)
    return as_json({"files": files})


def lfs_batch(call: Call) -> Answer:
    repo = call.repo()
    if call.user is None:
        raise anonymous()
    objects = []
    for wish in call.json()["objects"]:
        there = {"oid": wish["oid"], "size": wish["size"]}
        if wish["oid"] not in repo.lfs_objects:
            repo.lfs_announced[wish["oid"]] = wish["size"]
            href = f"{call.hub.endpoint}/{repo.id}.git/lfs/{wish['oid']}"
            there["actions"] = {"upload": {"href": href, "header": {}}, "verify": {"href": f"{href}/verify"}}
        objects.append(there)
    return as_json({"transfer": "basic", "objects": objects})


def lfs_upload(call: Call) -> Answer:
    """No token comes with it: the address was given to somebody who showed theirs."""
    repo, oid, data = call.hub.repos[call.word("id")], call.word("oid"), call.request.body
    if oid not in repo.lfs_announced:
        raise HubError(403, "", f"Nobody asked to upload {oid}")
    call.hub.uploaded.append((f"sha256:{oid}", data))  # its path comes with the commit
    found = hashlib.sha256(data).hexdigest()
    if (found, len(data)) != (oid, repo.lfs_announced[oid]):
        raise HubError(400, "", f"The content's sha256 is {found}, not {oid}, or its length is not what was announced")
    repo.lfs_objects[oid] = data
    return Answer(headers={"ETag": f'"{oid}"'})


def lfs_verify(call: Call) -> Answer:
    stored = call.hub.repos[call.word("id")].lfs_objects.get(call.word("oid"))
    if stored is None or len(stored) != call.json()["size"]:
        raise HubError(404, "", f"{call.word('oid')} was not uploaded whole")
    return Answer()


def commit(call: Call) -> Answer:
    pull = call.flag("create_pr") and call.user is not None
    repo = call.repo() if pull else call.repo_to_write()
    lines = [json.loads(line) for line in call.request.body.splitlines() if line.strip()]
    header: dict[str, Any] = {}
    add: dict[str, Blob] = {}
    delete = []
    for line in lines:
        key, value = line["key"], line["value"]
        if key == "header":
            header = value
        elif key == "file":
            add[value["path"]] = Blob(base64.b64decode(value["content"]))
        elif key == "lfsFile":
            if value["oid"] not in repo.lfs_objects:
                raise HubError(400, "", f"The LFS content of {value['path']} was not uploaded")
            add[value["path"]] = Blob(repo.lfs_objects[value["oid"]], lfs=True)
        elif key in ("deletedFile", "deletedFolder"):
            delete.append(value["path"].rstrip("/") + "/" * (key == "deletedFolder"))
        else:
            raise HubError(400, "", f"Unknown line in commit: {key}")
    if not lines or "summary" not in header:
        raise HubError(400, "", "A commit needs a header with a summary")
    _record(call.hub.uploaded, add)
    words = {"message": header["summary"], "description": header.get("description", ""), "author": call.user or ""}
    answer = {"success": True, "hookOutput": ""}
    if pull:
        base = header.get("parentCommit") or call.word("rev")
        number, done = repo.pull_request(base, add, delete, **words)
        answer["pullRequestUrl"] = f"{call.hub.endpoint}/{repo.id}/discussions/{number}"
    else:
        done = repo.commit(call.word("rev"), add, delete, parent=header.get("parentCommit"), **words)
    answer |= {"commitOid": done.hash, "commitUrl": f"{call.hub.endpoint}/{repo.id}/commit/{done.hash}"}
    return as_json(answer)


def _record(uploaded: list[tuple[str, bytes]], add: dict[str, Blob]) -> None:
    """Regular contents came with this commit; LFS contents came before, and get their path now."""
    for path, blob in add.items():
        nameless = (f"sha256:{blob.sha256}", blob.data)
        if not blob.lfs:
            uploaded.append((path, blob.data))
        elif nameless in uploaded:
            uploaded[uploaded.index(nameless)] = (path, blob.data)


def create_tag(call: Call) -> Answer:
    repo, name = call.repo_to_write(), call.json()["tag"]
    if name in repo.tags:
        raise HubError(409, "", f"Tag {name} already exists")
    repo.tags[name] = repo.resolve(call.word("rev")).hash
    return Answer()


def delete_tag(call: Call) -> Answer:
    repo = call.repo_to_write()
    if repo.tags.pop(call.word("rev"), None) is None:
        raise HubError(404, "RevisionNotFound", f"Invalid rev id: {call.word('rev')}")
    return Answer()


def create_branch(call: Call) -> Answer:
    repo, name = call.repo_to_write(), call.word("rev")
    if name.startswith("refs/"):
        raise HubError(400, "", f"Invalid reference for a branch: {name}")
    if name in repo.branches:
        raise HubError(409, "", f"Reference refs/heads/{name} already exists")
    repo.branches[name] = repo.resolve(call.json().get("startingPoint") or "main").hash
    return Answer()


def delete_branch(call: Call) -> Answer:
    repo, name = call.repo_to_write(), call.word("rev")
    if name == "main":
        raise HubError(403, "", "The main branch cannot be deleted")
    if repo.branches.pop(name, None) is None:
        raise HubError(404, "RevisionNotFound", f"Invalid rev id: {name}")
    return Answer()


# The first that fits answers. An id takes whatever stands there, so that a malformed one is told what it is.
_MODEL, _REV = r"/api/models/(?P<id>.+?)", r"(?P<rev>[^/]+)"
ROUTES: list[tuple[str, re.Pattern[str], Callable[[Call], Answer]]] = [
    (method, re.compile(pattern), handler)
    for method, pattern, handler in (
        ("GET", "/api/whoami-v2", whoami),
        ("POST", "/api/validate-yaml", validate_yaml),
        ("POST", "/api/repos/create", create_repo),
        ("DELETE", "/api/repos/delete", delete_repo),
        ("GET", "/api/models", list_models),
        ("GET", f"{_MODEL}/revision/{_REV}", model_info),
        ("GET", f"{_MODEL}/tree/{_REV}(?:/(?P<path>.+))?", tree),
        ("POST", f"{_MODEL}/paths-info/{_REV}", paths_info),
        ("GET", f"{_MODEL}/refs", refs),
        ("GET", f"{_MODEL}/commits/{_REV}", commits),
        ("GET", f"{_MODEL}/auth-check", auth_check),
        ("PUT", f"{_MODEL}/settings", settings),
        ("POST", f"{_MODEL}/preupload/{_REV}", preupload),
        ("POST", f"{_MODEL}/commit/{_REV}", commit),
        ("POST", f"{_MODEL}/tag/{_REV}", create_tag),
        ("DELETE", f"{_MODEL}/tag/{_REV}", delete_tag),
        ("POST", f"{_MODEL}/branch/{_REV}", create_branch),
        ("DELETE", f"{_MODEL}/branch/{_REV}", delete_branch),
        ("GET", "/api/models/(?P<id>[^/]+(?:/[^/]+)?)", model_info),
        ("POST", "/(?P<id>.+?).git/info/lfs/objects/batch", lfs_batch),
        ("PUT", "/(?P<id>.+?).git/lfs/(?P<oid>[0-9a-f]{64})", lfs_upload),
        ("POST", "/(?P<id>.+?).git/lfs/(?P<oid>[0-9a-f]{64})/verify", lfs_verify),
        ("GET", f"/(?P<id>.+?)/resolve/{_REV}/(?P<path>.+)", resolve),
    )
]
