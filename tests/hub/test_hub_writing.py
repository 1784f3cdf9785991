"""The stand-in Hub, written to by the real client: uploads, cards, revisions."""

from pathlib import Path

import huggingface_hub as hf
import pytest
from hub_asking import FILES, additions, ask
from huggingface_hub import CommitOperationDelete
from huggingface_hub.errors import (
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RevisionNotFoundError,
)

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
