"""What changes a repository of the stand-in Hub: uploads, commits, tags and branches."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import hub_cards
from hub_calls import Answer, Call, anonymous, as_json
from hub_repos import BINARY, Blob, HubError


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
