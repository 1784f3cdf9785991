"""What a push sends, and what it never sends."""

import json
import re
from pathlib import Path

import pytest
import torch
from hub_runs import make_run
from huggingface_hub import ModelCard

import zoo
from zoo.cards import write_card
from zoo.errors import CheckpointError, ConfigError, HubError, HubUnreachableError, ModelNotFoundError
from zoo.export.half import halve
from zoo.hub.source import read_source
from zoo.storage.checkpoint import weights_hash

SENT = {
    "README.md",
    "config.gin",
    "config.json",
    "golden.safetensors",
    "history.csv",
    "metrics.json",
    "model.safetensors",
    "plots/loss.png",
    "samples/phrase1_student.wav",
}


def pushed_files(hub, repo_id="tester/flute", revision="main"):
    return dict(hub.commits(repo_id, revision)[0].tree)


def test_push_sends_a_runs_public_files_in_one_commit(hub, run):
    pushed = zoo.push(run, "tester/flute", token=hub.token, endpoint=hub.endpoint)
    assert set(pushed_files(hub)) - {".gitattributes"} == SENT
    first, *earlier = hub.commits("tester/flute")
    assert first.hash == pushed.commit
    assert len(earlier) == 1  # the one that made the repo
    assert first.message == "Upload gru-S-flute"
    assert pushed.reference == f"tester/flute@{pushed.commit}"


def test_run_in_half_precision_is_pushed_and_loads_as_it_is_here(hub, tmp_path, empty_cache):
    run = make_run(tmp_path / "runs" / "flute", hidden_size=44)
    folder = halve(run, tmp_path / "half", limit_db=-50).folder
    pushed = zoo.push(folder, "tester/flute", token=hub.token, endpoint=hub.endpoint)
    here, there = (
        zoo.load(place, endpoint=hub.endpoint, cache_dir=empty_cache) for place in (folder, pushed.reference)
    )
    assert weights_hash(there) == weights_hash(here)
    assert there.config == here.config
    assert there.config.weights_dtype == "float16"
    assert "stored as float16" in pushed_files(hub)["README.md"].data.decode()
    found = zoo.fetch(pushed.reference, endpoint=hub.endpoint, cache_dir=empty_cache, name="gru-S-flute")
    assert read_source(found).commit == pushed.commit
    assert zoo.load("gru-S-flute").config == here.config


def test_no_byte_that_is_sent_holds_a_path_or_a_token(hub, run, monkeypatch):
    monkeypatch.setenv("HOME", str(run.parent.parent))
    zoo.push(run, "tester/flute", token=hub.token, endpoint=hub.endpoint)
    sent = [*hub.uploaded, *((request.path, request.body) for request in hub.requests)]
    assert len(hub.uploaded) >= len(SENT)
    for name, data in sent:
        for secret in (str(Path.home()), str(run), str(run.parent), hub.token, "private", str(Path.cwd())):
            assert secret.encode() not in data, (name, secret)


def test_what_is_sent_speaks_of_names_instead_of_places(hub, run):
    zoo.push(run, "tester/flute", token=hub.token, endpoint=hub.endpoint)
    assert pushed_files(hub)["config.gin"].data.decode().splitlines() == [
        "DATASET = 'phrases'",
        "TEACHER = 'big'",
        "distill.dataset = %DATASET",
        "",
        "distill.teacher = %TEACHER",
        "distill.student_options = {'table': 'x.npy'}",
    ]
    assert str(run) in (run / "config.gin").read_text()  # the run itself is as it was


@pytest.mark.parametrize("secret", ["{home}/recordings", "hf_" + "a1B2" * 9])
def test_notes_with_a_path_or_a_token_are_not_sent(hub, run, secret):
    card = (run / "README.md").read_text()
    secret = secret.format(home=Path.home())
    (run / "README.md").write_text(card.replace("<!-- end of", f"See {secret}\n<!-- end of"))
    with pytest.raises(ConfigError, match=r"Nothing was sent: README.md, line \d+, holds"):
        zoo.push(run, "tester/flute", token=hub.token, endpoint=hub.endpoint)
    assert hub.repos == {}


def test_a_link_out_of_the_run_is_not_followed(hub, run, tmp_path):
    secret = tmp_path / "diary.wav"
    secret.write_bytes(b"diary")
    (run / "samples" / "phrase2_student.wav").symlink_to(secret)
    zoo.push(run, "tester/flute", token=hub.token, endpoint=hub.endpoint)
    assert "samples/phrase2_student.wav" not in pushed_files(hub)


def test_second_push_removes_what_the_run_no_longer_has_and_leaves_strangers_alone(hub, run):
    zoo.push(run, "tester/flute", token=hub.token, endpoint=hub.endpoint)
    hub.commit("tester/flute", {"LICENSE": b"mine", "samples/old.wav": b"old"})
    zoo.push(run, "tester/flute", token=hub.token, endpoint=hub.endpoint)
    assert set(pushed_files(hub)) - {".gitattributes"} == SENT | {"LICENSE"}


def test_recordings_are_sent_unless_they_are_to_stay(hub, run):
    excerpt = "samples/phrase1_recording.wav"
    (run / excerpt).write_bytes((run / "samples" / "phrase1_student.wav").read_bytes())
    write_card(run)
    zoo.push(run, "tester/flute", token=hub.token, endpoint=hub.endpoint)
    assert excerpt in pushed_files(hub)
    zoo.push(run, "tester/flute", recordings=False, token=hub.token, endpoint=hub.endpoint)
    sent = pushed_files(hub)
    assert set(sent) - {".gitattributes"} == SENT
    assert excerpt not in sent["README.md"].data.decode()
    assert (run / excerpt).is_file()
    zoo.push(run, "tester/flute", token=hub.token, endpoint=hub.endpoint)
    (run / excerpt).unlink()  # the run's own card still names it
    zoo.push(run, "tester/flute", token=hub.token, endpoint=hub.endpoint)
    assert excerpt not in pushed_files(hub)["README.md"].data.decode()


def test_pushed_weights_load_as_they_were(hub, run, empty_cache):
    zoo.push(run, "tester/flute", token=hub.token, endpoint=hub.endpoint)
    expected, found = zoo.load(run), zoo.load("tester/flute", endpoint=hub.endpoint, cache_dir=empty_cache)
    assert {name: tensor.tolist() for name, tensor in found.state_dict().items()} == {
        name: tensor.tolist() for name, tensor in expected.state_dict().items()
    }


def test_model_without_a_run_can_be_pushed_and_its_card_says_that_it_is_unmeasured(hub, empty_cache):
    model = zoo.create("gru-S", instrument="flute", hidden_size=8, reverb_length=100)
    model.push_to_hub("tester/flute", token=hub.token, endpoint=hub.endpoint)
    card = pushed_files(hub)["README.md"].data.decode()
    assert "Not measured yet" in card
    loaded = zoo.Model.from_pretrained("tester/flute", endpoint=hub.endpoint, cache_dir=empty_cache)
    assert torch.equal(loaded.synth.reverb.noise, model.synth.reverb.noise)


def test_run_remembers_where_it_was_pushed(hub, run):
    pushed = zoo.push(run, "tester/flute", token=hub.token, endpoint=hub.endpoint)
    origin = read_source(run)
    assert (origin.repo_id, origin.commit) == ("tester/flute", pushed.commit)
    assert 'zoo.load("tester/flute")' in (run / "README.md").read_text()
    zoo.save(zoo.load(run).requires_grad_(False), run)  # the same weights: still the same
    assert read_source(run) is not None
    make_run(run.parent / "again", seed=1)
    (run.parent / "again" / "model.safetensors").rename(run / "model.safetensors")
    (run.parent / "again" / "config.json").rename(run / "config.json")
    assert read_source(run) is None  # trained on: what is on the Hub is another model


def test_branch_is_made_and_committed_to(hub, run, empty_cache):
    pushed = zoo.push(run, "tester/flute@half", token=hub.token, endpoint=hub.endpoint)
    assert "config.json" in pushed_files(hub, revision="half")
    assert "config.json" not in pushed_files(hub)
    assert zoo.fetch("tester/flute@half", endpoint=hub.endpoint, cache_dir=empty_cache).name == pushed.commit


def test_pull_request_leaves_main_as_it_is(hub, run):
    other = hub.add_user("someone")
    hub.create("tester/flute", {"LICENSE": b"mine"})
    pushed = zoo.push(run, "tester/flute", create_pr=True, token=other, endpoint=hub.endpoint)
    assert pushed.pull_request == 1
    assert set(pushed_files(hub)) == {"LICENSE"}
    assert read_source(run) is None


def test_private_repo_is_seen_by_its_owner_alone(hub, run, empty_cache):
    zoo.push(run, "tester/flute", private=True, token=hub.token, endpoint=hub.endpoint)
    with pytest.raises(ModelNotFoundError, match="private and this login may not see it"):
        zoo.load("tester/flute", endpoint=hub.endpoint, cache_dir=empty_cache, token=False)
    assert zoo.load("tester/flute", endpoint=hub.endpoint, cache_dir=empty_cache, token=hub.token).name == "gru-S-flute"


def test_public_repo_is_not_taken_for_a_private_one(hub, run):
    hub.create("tester/flute")
    with pytest.raises(ConfigError, match="there already, and public"):
        zoo.push(run, "tester/flute", private=True, token=hub.token, endpoint=hub.endpoint)


def test_model_of_another_library_is_not_damaged(hub, run):
    hub.create("tester/bert", {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"x"})
    with pytest.raises(HubError, match="holds a model of something else"):
        zoo.push(run, "tester/bert", token=hub.token, endpoint=hub.endpoint)
    assert len(hub.commits("tester/bert")) == 1


def test_damaged_run_is_not_pushed(hub, run):
    data = bytearray((run / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (run / "model.safetensors").write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="SHA-256"):
        zoo.push(run, "tester/flute", token=hub.token, endpoint=hub.endpoint)
    assert hub.repos == {}


@pytest.mark.parametrize(
    ("target", "token", "message"),
    [
        ("flute", "own", "is no Hub id; that is org/name"),
        ("tester/flute/x", "own", "is no Hub id"),
        ("tester/flute", None, "wants a login .* Log in: hf auth login"),
        ("tester/flute", "hf_wrong", "does not know this login"),
        ("tester/flute", "someone's", "may not do that with tester/flute"),
    ],
)
def test_push_says_what_is_wrong_and_what_to_type(hub, run, target, token, message):
    tokens = {"own": hub.token, "someone's": hub.add_user("someone"), None: False}
    with pytest.raises(HubError, match=message):
        zoo.push(run, target, token=tokens.get(token, token), endpoint=hub.endpoint)
    assert hub.repos == {}


def test_model_on_the_hub_is_not_pushed_again():
    with pytest.raises(ConfigError, match="is on the Hub already"):
        zoo.push("hf://org/flute", "tester/flute")
    with pytest.raises(ConfigError, match="There is no folder runs/mistyped"):  # which reads as an id of the Hub too
        zoo.push("runs/mistyped", "tester/flute")


def test_run_that_is_not_there_is_told():
    with pytest.raises(ModelNotFoundError, match="There is no model 'no-such-run'"):
        zoo.push("no-such-run", "tester/flute")


def test_dead_endpoint_is_told_quickly(run):
    import time

    from hub_faults import dead_endpoint

    begin = time.monotonic()
    with pytest.raises(HubUnreachableError, match="does not answer"):
        zoo.push(run, "tester/flute", token="hf_x", endpoint=dead_endpoint())
    assert time.monotonic() - begin < 5


def test_card_on_the_hub_keeps_the_notes_that_were_written_there(hub, run):
    zoo.push(run, "tester/flute", token=hub.token, endpoint=hub.endpoint)
    card = pushed_files(hub)["README.md"].data.decode()
    edited = card.replace("<!-- end of", "Best above G4.\n<!-- end of").replace(
        "library_name", "license: mit\nlibrary_name"
    )
    hub.commit("tester/flute", {"README.md": edited.encode()})
    zoo.push(run, "tester/flute", token=hub.token, endpoint=hub.endpoint)
    again = pushed_files(hub)["README.md"].data.decode()
    assert "Best above G4." in again
    assert ModelCard(again).data.license == "mit"


def test_pushed_card_says_what_a_stranger_needs(hub, run):
    zoo.push(run, "tester/flute", token=hub.token, endpoint=hub.endpoint)
    files = pushed_files(hub)
    card = ModelCard(files["README.md"].data.decode())
    assert card.data.library_name == "ddsp-zoo"
    assert [result.metric_value for result in card.data.eval_results] == [5.25]
    assert 'model = zoo.load("tester/flute")' in card.text
    assert "Jane Doe, CC BY 4.0" in card.text
    assert json.loads(files["config.json"].data)["lineage"]["dataset"]["hash"] in card.text
    shown = set(re.findall(r"\(((?:samples|plots)/[^)]+)\)", card.text))
    assert shown == {"samples/phrase1_student.wav", "plots/loss.png"}
