"""The stand-in Hub, read by the real client; and who may do what."""

import http.client
import subprocess
import sys
import time
from pathlib import Path

import huggingface_hub as hf
import pytest
from hub_asking import CARD, FILES, additions, ask
from hub_faults import Fault
from hub_server import HubServer
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)

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
