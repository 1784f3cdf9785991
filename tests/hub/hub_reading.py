"""What the stand-in Hub tells of repositories, and their files."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import hub_cards
from hub_accounts import allow_reading
from hub_calls import Answer, Call, as_json
from hub_files import file_answer, file_info, list_tree
from hub_repos import Blob, Repo


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
        visible = not repo.id.startswith("spaces/") and (not repo.private or repo.owner == call.user)
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
