"""The stand-in Hub, seen by the real client."""

import http.client
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import huggingface_hub as hf
import pytest
from hub_faults import Fault
from hub_server import HubServer
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

CARD = b"---\nlibrary_name: ddsp-zoo\nlicense: mit\ntags: [flute]\n---\nA flute.\n"
FILES = {"README.md": CARD, "config.json": b"{}", "model.safetensors": bytes(range(256)) * 40, "a/b/c.txt": b"hello\n"}


@pytest.fixture
def api(hub):
    return HfApi(hub.endpoint, token=hub.token)


@pytest.fixture
def stranger(hub):
    return HfApi(hub.endpoint, token=hub.add_user("stranger"))


@pytest.fixture
def nobody(hub):
    return HfApi(hub.endpoint, token=False)


def additions(files):
    return [CommitOperationAdd(path, data) for path, data in files.items()]


def ask(hub, method, path, body=None, **headers):
    """One request with nothing between: no client, no retries."""
    connection = http.client.HTTPConnection(urlsplit(hub.endpoint).netloc, timeout=5)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


# --- uploads


@pytest.mark.parametrize("lfs", [True, False])
def test_commit_keeps_what_was_pushed(hub, api, lfs):
    hub.lfs = lfs
    api.create_repo("org/flute")
    done = api.create_commit("org/flute", additions(FILES), commit_message="First", commit_description="Why")
    stored = hub.files("org/flute")
    assert stored.pop(".gitattributes")
    assert stored == FILES
    assert dict(hub.uploaded) == FILES
    assert any(request.method == "PUT" for request in hub.requests) is lfs
    newest, start = hub.commits("org/flute")
    assert (newest.hash, newest.parent, newest.message) == (done.oid, start.hash, "First")
    assert done.commit_url == f"{hub.endpoint}/org/flute/commit/{hub.head('org/flute')}"
    history = [(commit.commit_id, commit.title, commit.message) for commit in api.list_repo_commits("org/flute")]
    assert history == [(done.oid, "First", "Why"), (start.hash, "initial commit", "")]


def test_upload_folder_adds_and_deletes_in_one_commit(hub, api, tmp_path):
    before = hub.create("org/flute", {"old.txt": b"old", "keep.md": b"keep"})
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "0.wav").write_bytes(b"RIFF")
    api.upload_folder(repo_id="org/flute", folder_path=tmp_path, delete_patterns="*.txt")
    assert hub.files("org/flute") == {"keep.md": b"keep", "samples/0.wav": b"RIFF"}
    assert hub.commits("org/flute")[0].parent == before


def test_files_and_folders_are_deleted(hub, api):
    hub.create("org/flute", FILES)
    wishes = [CommitOperationDelete("a/"), CommitOperationDelete("config.json")]
    api.create_commit("org/flute", wishes, commit_message="Less")
    assert set(hub.files("org/flute")) == {"README.md", "model.safetensors"}
    with pytest.raises(RemoteEntryNotFoundError, match="doesn't exist"):
        api.delete_file("config.json", "org/flute")


def test_file_that_did_not_change_is_not_sent_again(hub, api):
    head = hub.create("org/flute", FILES)
    done = api.create_commit("org/flute", additions(FILES), commit_message="Same")
    assert done.oid == head
    assert hub.uploaded == []
    api.create_commit("org/flute", additions({**FILES, "config.json": b"[]"}), commit_message="Other")
    assert hub.uploaded == [("config.json", b"[]")]


def test_lfs_content_with_another_digest_is_refused(hub):
    repo_id, oid = "org/flute", "0" * 64
    hub.create(repo_id)
    login = {"Authorization": f"Bearer {hub.token}"}
    batch = b'{"objects": [{"oid": "%s", "size": 3}]}' % oid.encode()
    assert ask(hub, "PUT", f"/{repo_id}.git/lfs/{oid}", b"abc")[0].status == 403
    assert ask(hub, "POST", f"/{repo_id}.git/info/lfs/objects/batch", batch, **login)[0].status == 200
    assert ask(hub, "PUT", f"/{repo_id}.git/lfs/{oid}", b"abc")[0].status == 400
    assert ask(hub, "POST", f"/{repo_id}.git/lfs/{oid}/verify", b'{"size": 3}', **login)[0].status == 404


def test_commit_on_another_parent_is_refused(hub, api):
    old = hub.create("org/flute", FILES)
    new = hub.commit("org/flute", {"config.json": b"[]"})
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as caught:
        api.create_commit("org/flute", additions({"x": b"x"}), commit_message="Late", parent_commit=old)
    assert caught.value.response.status_code == 412
    assert api.create_commit("org/flute", additions({"x": b"x"}), commit_message="On time", parent_commit=new)


@pytest.mark.parametrize("path", ["/etc/passwd", "a/../b", ".git/config"])
def test_commit_with_a_path_that_leads_elsewhere_is_refused(hub, path):
    hub.create("org/flute")
    lines = '{"key": "header", "value": {"summary": "Evil"}}\n{"key": "file", "value": {"path": "%s", "content": ""}}'
    login = {"Authorization": f"Bearer {hub.token}"}
    answer, _ = ask(hub, "POST", "/api/models/org/flute/commit/main", (lines % path).encode(), **login)
    assert answer.status == 400
    assert hub.files("org/flute") == {}


def test_create_repo_twice_is_a_conflict_unless_allowed(hub, api):
    first = api.create_repo("org/flute", private=True)
    assert api.create_repo("org/flute", exist_ok=True) == first
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_repo("org/flute")
    assert caught.value.response.status_code == 409
    assert api.model_info("org/flute").private


def test_repo_is_deleted_and_its_settings_change(hub, api, nobody):
    hub.create("org/flute", FILES, private=True)
    api.update_repo_settings("org/flute", private=False, gated="manual")
    assert nobody.model_info("org/flute").gated == "manual"
    api.delete_repo("org/flute")
    assert not api.repo_exists("org/flute")


# --- cards

INDEX = (
    "model-index: [{name: m, results: [{task: {type: audio}, dataset: {name: d%s}, metrics: [{type: m, value: 1}]}]}]"
)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("tags: [a", "YAML metadata"),
        ("license: mit\nlicense: gpl", "duplicated mapping key: license"),
        ("- a", "must be a mapping"),
        ("tags: [1]", '"tags" must be'),
        ("base_model: org/name@v1", '"base_model" with value "org/name@v1" is not valid'),
        (INDEX % "", r'"model-index\[0\].results\[0\].dataset.type" is required'),
    ],
)
def test_invalid_card_is_refused_before_the_commit(hub, api, header, message):
    hub.create("org/flute")
    with pytest.raises(ValueError, match=message):
        api.create_commit(
            "org/flute", additions({"README.md": f"---\n{header}\n---\n".encode()}), commit_message="Card"
        )
    assert len(hub.commits("org/flute")) == 1


def test_card_without_header_is_taken_with_a_warning(hub, api):
    hub.create("org/flute")
    with pytest.warns(UserWarning, match="empty or missing yaml"):
        api.create_commit("org/flute", additions({"README.md": b"# A flute\n"}), commit_message="Card")
    api.create_commit(
        "org/flute", additions({"README.md": f"---\n{INDEX % ', type: t'}\n---\n".encode()}), commit_message="Card"
    )
    assert api.model_info("org/flute").model_index[0]["name"] == "m"


# --- downloads


def test_snapshot_is_what_was_pushed_and_is_cached(hub, empty_cache):
    commit = hub.create("org/flute", FILES)
    folder = hf.snapshot_download("org/flute", endpoint=hub.endpoint, cache_dir=empty_cache)
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*.*")}
    assert found == FILES
    assert Path(folder).name == commit
    blobs = {path.name for path in empty_cache.glob("models--org--flute/blobs/*")}
    tree = hub.repos["org/flute"].resolve("main").tree
    assert blobs == {tree[path].oid for path in FILES if path != "model.safetensors"} | {
        tree["model.safetensors"].sha256
    }
    count = len(hub.requests)
    hf.snapshot_download("org/flute", revision=commit, endpoint=hub.endpoint, cache_dir=empty_cache)
    assert len(hub.requests) == count


def test_digests_are_those_of_git_and_lfs(hub, api):
    hub.create("org/flute", FILES)
    listed = {file.path: file for file in api.list_repo_tree("org/flute", recursive=True)}
    assert listed["a/b/c.txt"].blob_id == "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object
    assert listed["model.safetensors"].blob_id == "4235e81050c5f7da0941cb713e30671cc9c6d9cf"  # of its pointer
    weights = listed["model.safetensors"].lfs
    assert weights.sha256 == "e96760a87768717bcebcfd25ddc7d46b4dbc95a4b0014def080c08539f7d90d0"
    assert (weights.size, weights.pointer_size) == (10240, 130)
    info = {file.rfilename: file for file in api.model_info("org/flute", files_metadata=True).siblings}
    assert info["model.safetensors"].lfs == weights
    assert info["a/b/c.txt"].blob_id == listed["a/b/c.txt"].blob_id
    assert api.get_paths_info("org/flute", ["model.safetensors", "missing"]) == [listed["model.safetensors"]]


def test_download_that_breaks_off_is_resumed_with_a_range(hub, empty_cache):
    chunk = hf.constants.DOWNLOAD_CHUNK_SIZE  # the client keeps whole chunks only
    content = bytes(range(256)) * (chunk // 256) + b"tail" * 1000
    hub.create("org/flute", {"model.safetensors": content})
    hub.faults.add(Fault("drop", "model.safetensors", at=chunk + 1000))
    path = hf.hf_hub_download("org/flute", "model.safetensors", endpoint=hub.endpoint, cache_dir=empty_cache)
    assert Path(path).read_bytes() == content
    asked = [request.headers["Range"] for request in hub.requests if request.method == "GET"]
    assert asked == [None, f"bytes={chunk}-"]


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("0-9", 206, 0, 10),
        ("10230-", 206, 10230, 10240),
        ("-3", 206, 10237, 10240),
        ("5-99999", 206, 5, 10240),
        ("10240-", 416, 0, 0),
        ("7-6", 416, 0, 0),
    ],
)
def test_range_gives_exactly_those_bytes(hub, asked, status, start, end):
    commit = hub.create("org/flute", FILES)
    answer, body = ask(hub, "GET", "/org/flute/resolve/main/model.safetensors", Range=f"bytes={asked}")
    assert answer.status == status
    assert answer.headers["X-Repo-Commit"] == commit
    if status == 206:
        assert body == FILES["model.safetensors"][start:end]
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/10240"
    else:
        assert answer.headers["Content-Range"] == "bytes */10240"


def test_head_tells_size_and_digest_of_regular_and_lfs_files(hub):
    commit = hub.create("org/flute", FILES)
    tree = hub.repos["org/flute"].resolve("main").tree
    for path, linked in (("config.json", None), ("model.safetensors", "10240")):
        answer, body = ask(hub, "HEAD", f"/org/flute/resolve/main/{path}")
        assert body == b""
        assert answer.headers["X-Repo-Commit"] == commit
        assert answer.headers["ETag"] == f'"{tree[path].etag}"'
        assert answer.headers["Content-Length"] == str(len(FILES[path]))
        assert answer.headers["X-Linked-Size"] == linked


def test_tree_comes_in_pages_and_by_folder(hub, api):
    hub.create("org/flute", FILES)
    hub.page_size = 2
    names = [entry.path for entry in api.list_repo_tree("org/flute", recursive=True)]
    assert names == ["README.md", "a", "a/b", "a/b/c.txt", "config.json", "model.safetensors"]
    assert len(hub.requests) == 3
    assert [entry.path for entry in api.list_repo_tree("org/flute", "a")] == ["a/b"]
    assert [entry.path for entry in api.list_repo_tree("org/flute", "a/b")] == ["a/b/c.txt"]
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree("org/flute", "z"))


# --- revisions


def test_tags_and_branches_name_commits(hub, api):
    first = hub.create("org/flute", FILES)
    api.create_tag("org/flute", tag="v1")
    api.create_branch("org/flute", branch="try/this", revision="v1")
    second = api.create_commit("org/flute", additions({"x": b"x"}), commit_message="x", revision="try/this").oid
    refs = api.list_repo_refs("org/flute")
    assert {ref.name: ref.target_commit for ref in refs.branches} == {"main": first, "try/this": second}
    assert [(ref.ref, ref.target_commit) for ref in refs.tags] == [("refs/tags/v1", first)]
    for revision, commit in {"main": first, "v1": first, "try/this": second, second[:8]: second}.items():
        assert api.model_info("org/flute", revision=revision).sha == commit
    for again in (lambda: api.create_tag("org/flute", tag="v1"), lambda: api.create_branch("org/flute", branch="main")):
        with pytest.raises(HfHubHTTPError, match="already exists"):
            again()
    api.create_tag("org/flute", tag="v1", exist_ok=True)
    api.delete_tag("org/flute", tag="v1")
    api.delete_branch("org/flute", branch="try/this")
    for gone in ("v1", "try/this", "refs/tags/v1", "0" * 40):
        with pytest.raises(RevisionNotFoundError):
            api.model_info("org/flute", revision=gone)


def test_commit_to_a_tag_or_missing_branch_is_refused(hub, api):
    hub.create("org/flute", FILES)
    hub.tag("org/flute", "v1")
    for revision in ("v1", "nowhere"):
        with pytest.raises(RevisionNotFoundError):
            api.create_commit("org/flute", additions({"x": b"x"}), commit_message="x", revision=revision)


def test_pull_request_leaves_main_and_can_be_fetched(hub, api, stranger, empty_cache):
    head = hub.create("org/flute", FILES)
    done = stranger.create_commit("org/flute", additions({"x": b"x"}), commit_message="Take this", create_pr=True)
    assert (done.pr_num, done.pr_revision) == (1, "refs/pr/1")
    assert hub.head("org/flute") == head
    assert hub.files("org/flute", "refs/pr/1") == {**FILES, "x": b"x"}
    path = hf.hf_hub_download("org/flute", "x", revision="refs/pr/1", endpoint=hub.endpoint, cache_dir=empty_cache)
    assert Path(path).read_bytes() == b"x"
    assert "refs%2Fpr%2F1" in hub.requests[-1].path
    pulls = api.list_repo_refs("org/flute", include_pull_requests=True).pull_requests
    assert [pull.target_commit for pull in pulls] == [done.oid]


# --- searching


def test_models_are_found_by_tag_author_and_name(hub, api, nobody):
    other = CARD.replace(b"ddsp-zoo", b"transformers").replace(b"flute", b"violin")
    hub.create("org/gru-flute", {"README.md": CARD})
    hub.create("org/bert", {"README.md": other, "config.json": b"{}"})
    hub.create("else/tcn-flute", {"README.md": CARD})
    hub.create("org/secret-flute", {"README.md": CARD}, private=True)
    hub.page_size = 1

    def names(client, **wish):
        return [model.id for model in client.list_models(**wish)]

    assert names(nobody) == ["org/gru-flute", "org/bert", "else/tcn-flute"]
    assert names(nobody, filter="ddsp-zoo") == ["org/gru-flute", "else/tcn-flute"]
    assert names(nobody, filter=["ddsp-zoo", "license:mit"], author="org") == ["org/gru-flute"]
    assert names(nobody, search="FLUTE", limit=1) == ["org/gru-flute"]
    assert names(api, filter="flute", search="secret") == ["org/secret-flute"]
    (model,) = nobody.list_models(search="bert", full=True, cardData=True)
    assert (model.library_name, model.sha, model.private) == ("transformers", hub.head("org/bert"), False)
    assert [file.rfilename for file in model.siblings] == ["README.md", "config.json"]
    assert model.card_data.license == "mit"
    (model,) = nobody.list_models(search="bert", expand=["downloads", "sha"])
    assert (model.downloads, model.sha, model.tags) == (0, hub.head("org/bert"), None)


# --- rights


def test_whoami_names_the_user_and_their_namespaces(hub, api, nobody):
    hub.create("org/flute")
    assert (api.whoami()["name"], [org["name"] for org in api.whoami()["orgs"]]) == ("tester", ["org"])
    wrong = HfApi(hub.endpoint, token="hf_wrong")
    for call in (wrong.whoami, lambda: wrong.model_info("org/flute")):
        with pytest.raises(HfHubHTTPError) as caught:
            call()
        assert caught.value.response.status_code == 401
        assert not isinstance(caught.value, RepositoryNotFoundError)


def test_private_repo_is_missing_for_others(hub, api, stranger, nobody, empty_cache):
    hub.create("org/flute", FILES, private=True)
    assert api.model_info("org/flute").private
    for client, status in ((stranger, 404), (nobody, 401)):
        for call in (client.model_info, client.list_repo_files, client.list_repo_refs):
            with pytest.raises(RepositoryNotFoundError) as caught:
                call("org/flute")
            assert caught.value.response.status_code == status
        with pytest.raises(RepositoryNotFoundError):
            client.snapshot_download("org/flute", cache_dir=empty_cache)
        with pytest.raises(RepositoryNotFoundError):
            client.model_info("org/missing")
    assert hf.snapshot_download("org/flute", endpoint=hub.endpoint, token=hub.token, cache_dir=empty_cache)


def test_gated_repo_is_listed_and_its_files_kept(hub, api, stranger, nobody, empty_cache):
    hub.create("org/flute", FILES, gated=True)
    for client, status in ((stranger, 403), (nobody, 401)):
        assert client.model_info("org/flute").gated == "manual"
        assert "config.json" in client.list_repo_files("org/flute")
        for call in (
            client.auth_check,
            lambda repo, client=client: client.snapshot_download(repo, cache_dir=empty_cache),
        ):
            with pytest.raises(GatedRepoError) as caught:
                call("org/flute")
            assert caught.value.response.status_code == status
    api.auth_check("org/flute")


def test_writing_without_rights_is_refused(hub, stranger, nobody):
    hub.create("org/flute", FILES)
    for client, status in ((stranger, 403), (nobody, 401)):
        for call in (
            lambda client=client: client.create_repo("org/other"),
            lambda client=client: client.create_commit("org/flute", additions({"x": b"x"}), commit_message="x"),
            lambda client=client: client.create_tag("org/flute", tag="v1"),
            lambda client=client: client.delete_repo("org/flute"),
        ):
            with pytest.raises(HfHubHTTPError) as caught:
                call()
            assert caught.value.response.status_code == status
    assert hub.files("org/flute") == FILES
    assert stranger.create_repo("stranger/own")


@pytest.mark.parametrize("repo_id", ["a/b/c", "org/a--b", "org/.hidden", "org/name.git", "org/" + "n" * 100, "o@x/n"])
def test_malformed_id_is_a_bad_request(hub, repo_id):
    assert ask(hub, "GET", f"/api/models/{repo_id}/revision/main")[0].status == 400
    assert ask(hub, "GET", f"/{repo_id}/resolve/main/config.json")[0].status == 400


def test_missing_file_is_told_with_the_commit(hub, empty_cache):
    commit = hub.create("org/flute", FILES)
    with pytest.raises(RemoteEntryNotFoundError) as caught:
        hf.hf_hub_download("org/flute", "none.json", endpoint=hub.endpoint, cache_dir=empty_cache)
    assert caught.value.response.headers["X-Repo-Commit"] == commit


# --- lies


@pytest.mark.parametrize("where", [("tree",), ("head",), ("tree", "head"), ("get",)])
def test_lie_about_size_is_told_where_it_is_wanted_and_nowhere_else(hub, api, where):
    hub.create("org/flute", FILES)
    hub.lie_about_size("org/flute", "config.json", 10**9, where)
    told = {file.path: file.size for file in api.list_repo_tree("org/flute") if isinstance(file, hf.RepoFile)}
    address = "/org/flute/resolve/main/config.json"
    head, _ = ask(hub, "HEAD", address)
    sizes = {"tree": told["config.json"], "head": int(head.headers["Content-Length"])}
    if "get" in where:
        with pytest.raises(http.client.IncompleteRead) as caught:
            ask(hub, "GET", address)
        assert caught.value.partial == b"{}"
        assert caught.value.expected == 10**9 - 2
    else:
        assert ask(hub, "GET", address)[1] == b"{}"
    assert sizes == {name: 10**9 if name in where else 2 for name in sizes}
    assert told["README.md"] == len(CARD)


def test_listed_name_that_leads_elsewhere_is_listed_and_served(hub, api):
    hub.create("org/flute", FILES)
    commit = hub.list_as("org/flute", "samples/../../evil.wav", b"evil")
    assert "samples/../../evil.wav" in api.list_repo_files("org/flute")
    assert ask(hub, "GET", f"/org/flute/resolve/{commit}/samples/../../evil.wav")[1] == b"evil"


# --- the server


def test_server_starts_and_stops_at_once(empty_cache):
    begin = time.perf_counter()
    with HubServer() as hub:
        hub.create("org/flute", FILES)
        assert ask(hub, "GET", "/api/models/org/flute")[0].status == 200
    assert time.perf_counter() - begin < 0.5
    with pytest.raises(ConnectionRefusedError):
        ask(hub, "GET", "/api/models/org/flute")


def test_error_inside_the_stand_in_is_kept_for_the_test_to_see():
    with HubServer() as hub:
        hub.create("org/flute")
        with pytest.raises(http.client.RemoteDisconnected):
            ask(hub, "POST", "/api/models/org/flute/commit/main", b"no json", Authorization=f"Bearer {hub.token}")
        assert "JSONDecodeError" in hub.crashes[0]


def test_folder_is_served_by_the_command(tmp_path, empty_cache):
    (tmp_path / "config.json").write_text("{}")
    command = [sys.executable, Path(__file__).with_name("hub_server.py"), "--folder", tmp_path, "--repo", "org/tried"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            endpoint, token = (server.stdout.readline().split()[1] for _ in range(2))
            assert HfApi(endpoint, token=token).whoami()["name"] == "tester"
            path = hf.hf_hub_download("org/tried", "config.json", endpoint=endpoint, cache_dir=empty_cache)
            assert Path(path).read_text() == "{}"
        finally:
            server.terminate()
