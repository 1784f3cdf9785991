"""Push, tag, load by the tag, distil from it, push the student, reproduce it: each step on a machine of its own."""

import json

from hub_runs import make_run
from huggingface_hub import HfApi, ModelCard

import zoo
from zoo.storage.config import read_config

TRAINING = ["STEPS=2", "BATCH_SIZE=2", "distill.student_options={'hidden_size': 8, 'reverb_length': 100}"]


def test_teacher_by_hub_id_from_push_to_reproduced_student(hub, tmp_path, small_tones, other_machine):
    teacher = make_run(tmp_path / "teacher", instrument="tones", features=small_tones.features.to_dict())
    pushed = zoo.push(teacher, "tester/gru-S-tones", token=hub.token, endpoint=hub.endpoint)
    HfApi(endpoint=hub.endpoint, token=hub.token).create_tag("tester/gru-S-tones", tag="v1")
    later = make_run(tmp_path / "later", seed=1, instrument="tones")
    assert zoo.push(later, "tester/gru-S-tones", token=hub.token, endpoint=hub.endpoint).commit != pushed.commit

    data = str(small_tones.path)
    settings = [word for setting in [*TRAINING, f"DATASET='{data}'"] for word in ("--set", setting)]
    words = ["-m", "zoo.distill", "--gin", "distill/gru-L-to-gru-S.gin", *settings]
    words += ["--set", "TEACHER='tester/gru-S-tones@v1'", "--set", "distill.evaluate=False", "--out", "student"]
    other_machine(*words, hub=hub, place="second")
    student = tmp_path / "second" / "student"
    recorded = read_config(student).lineage["teacher"]
    assert (recorded["id"], recorded["commit"]) == ("tester/gru-S-tones", pushed.commit)

    done = other_machine(
        "-m", "zoo", "push", "student", "tester/student", "--token", hub.token, hub=hub, place="second"
    )
    reference = done.stdout.split("zoo.load('")[1].split("'")[0]
    card = ModelCard(hub.commits("tester/student")[0].tree["README.md"].data.decode())
    assert card.data.base_model == "tester/gru-S-tones"
    assert card.data.to_dict()["ddsp_zoo"]["teacher"]["commit"] == pushed.commit
    assert pushed.commit in card.text
    sent = b"".join(blob.data for blob in hub.commits("tester/student")[0].tree.values())
    assert str(tmp_path).encode() not in sent
    assert hub.token.encode() not in sent

    shown = other_machine("-m", "zoo", "info", reference, "--lineage", hub=hub, place="third").stdout
    assert f"tester/gru-S-tones@{pushed.commit}" in shown

    words = ["-m", "zoo", "reproduce", reference, "--data", data, "--out", "again"]
    said = other_machine(*words, hub=hub, place="third").stdout
    assert "made the same way: the same config" in said
    again, first = (
        json.loads((folder / "config.json").read_text()) for folder in (tmp_path / "third" / "again", student)
    )
    for lineage in (again["lineage"], first["lineage"]):
        lineage["teacher"].pop("path", None)
    assert again == first  # the weights' hash included: the very same student
