"""Who asks the stand-in Hub, and which repositories there are."""

from __future__ import annotations

from hub_calls import Answer, Call, as_json
from hub_repos import BINARY, Blob, HubError, Repo, check_id


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
    space = wish.get("type", "model") == "space"
    if space and wish.get("sdk") != "static":
        raise HubError(400, "", "The stand-in has models and static Spaces only")
    if call.user != call.hub.owner and namespace != call.user:
        raise HubError(403, "", f'You don\'t have the rights to create a model under the namespace "{namespace}"')
    repo_id = f"spaces/{repo_id}" if space else repo_id
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
