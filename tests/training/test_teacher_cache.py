import logging
import multiprocessing
import threading
import time

import pytest
import torch
from flat_calls import distill
from torch.utils.data import default_collate

from zoo import resolve
from zoo.datasets import open_dataset
from zoo.losses.distillation import Control, Feature, OutputAudio, Reconstruction
from zoo.models.creating import create
from zoo.models.loading import load_folder
from zoo.registry import paths
from zoo.storage.cache_folder import LIMIT_VARIABLE
from zoo.storage.locks import locked
from zoo.training import teacher_cache
from zoo.training.batches import fixed_noise
from zoo.training.checkpoints import read_history
from zoo.training.teacher import Teacher
from zoo.training.teacher_cache import ROWS, Part, noise_seeds_of, open_cache

FIELDS = frozenset({"audio", "dry", "hidden", "controls", "scaled_controls"})
SMALL = {"hidden_size": 8, "reverb_length": 200}


@pytest.fixture
def teacher(teacher_folder):
    return Teacher(load_folder(teacher_folder), found=resolve.find(teacher_folder))


def parts(dataset, *, fields=FIELDS, noise_seeds=4):
    segments = dataset.split("train")
    return [Part("train", segments, range(len(segments)), frozenset(fields), noise_seeds)]


def filled(teacher, dataset, **options):
    teacher.use_cache(dataset, parts(dataset, **options), visits=10**9)
    return teacher


@pytest.fixture
def batch(small_tones):
    segments = small_tones.split("train")
    return default_collate([segments[i] for i in (3, 0, 5, 1)])


def watch_decoder(model):
    calls = []
    model.decoder.register_forward_hook(lambda *_: calls.append(1))
    return calls


def test_cache_gives_what_the_teacher_makes_with_the_same_noise(teacher, small_tones, batch):
    plain = [teacher.give(batch, FIELDS, epoch=epoch) for epoch in (0, 1)]
    calls = watch_decoder(filled(teacher, small_tones).model)
    cached = [teacher.give(batch, FIELDS, epoch=epoch) for epoch in (0, 1)]
    assert calls == []
    for a, b in zip(plain, cached, strict=True):
        torch.testing.assert_close(b.audio, a.audio, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(b.dry, a.dry, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(b.hidden, a.hidden, atol=1e-5, rtol=1e-5)
        assert set(a.controls) == set(b.controls)
        for kind in ("controls", "scaled_controls"):
            for name, value in getattr(a, kind).items():
                torch.testing.assert_close(getattr(b, kind)[name], value, atol=1e-6, rtol=1e-5)


def test_losses_are_the_same_with_and_without_the_cache(teacher, small_tones, batch):
    from zoo.losses.distillation import compute

    student = create("gru-S", **SMALL)
    losses = [Reconstruction(), OutputAudio(), Feature(), Feature(match="similarity"), Control()]
    for loss in losses:
        loss.bind(student, teacher.model)
    made = student(batch["f0_hz"], batch["loudness_db"], fixed_noise(batch, hop=64, seed=9))
    plain = compute(losses, made, teacher.give(batch, FIELDS, epoch=2), batch).values
    filled(teacher, small_tones)
    cached = compute(losses, made, teacher.give(batch, FIELDS, epoch=2), batch).values
    torch.testing.assert_close(torch.stack(cached), torch.stack(plain), rtol=1e-5, atol=0)


def test_noises_differ_and_are_taken_in_turns(teacher, small_tones, batch):
    filled(teacher, small_tones)
    dry = [teacher.give(batch, {"dry"}, epoch=epoch).dry for epoch in range(5)]
    assert torch.equal(dry[0], dry[4])
    for epoch in (1, 2, 3):
        assert (dry[0] - dry[epoch]).abs().amax(1).min() > 1e-4
    assert noise_seeds_of([0, 1, 7], 2, 4) == [2, 3, 1]


def test_only_what_is_needed_is_kept_and_another_loss_adds_to_it(teacher, small_tones, batch):
    filled(teacher, small_tones, fields={"dry"})
    folder = teacher.cache.folder.path
    assert {p.name for p in folder.iterdir() if p.is_dir()} == {"dry-4", "in-use"}
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*.safetensors")}
    filled(teacher, small_tones, fields={"dry", "hidden"})
    assert {p.name for p in folder.iterdir() if p.is_dir()} == {"dry-4", "hidden", "in-use"}
    assert all(p.stat().st_mtime_ns == time for p, time in before.items())
    given = teacher.give(batch, {"hidden"})
    assert given.audio.numel() == given.dry.numel() == 0
    assert given.hidden.shape[:2] == batch["f0_hz"].shape


def test_synth_without_noise_is_kept_once(teacher, small_tones, batch):
    for name in ("noise_bands",):
        torch.nn.init.constant_(teacher.model.decoder.head.controls[name].bias, -1e4)
        torch.nn.init.zeros_(teacher.model.decoder.head.controls[name].weight)
    teacher.model.synth.noise_part.response.zero_()
    filled(teacher, small_tones, fields={"dry"})
    shard = next(iter(teacher.cache._shards.values()))
    assert shard.shapes["dry"][1] == 1
    assert torch.equal(*(teacher.give(batch, {"dry"}, epoch=epoch).dry for epoch in (0, 1)))


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_damaged_shard_is_made_again(teacher, small_tones, batch, caplog, damage):
    filled(teacher, small_tones, fields={"audio"})
    wanted = teacher.give(batch, {"audio"}).audio
    (shard,) = (teacher.cache.folder.path / "audio-4").glob("*.safetensors")
    content = shard.read_bytes()
    teacher.close()
    if damage == "gone":
        shard.unlink()
    else:
        middle = len(content) // 2
        shard.write_bytes(content[:middle] + (b"" if damage == "cut" else b"\x00\x01" + content[middle + 2 :]))
    calls = watch_decoder(teacher.model)
    filled(teacher, small_tones, fields={"audio"})
    assert calls
    assert shard.read_bytes() == content
    assert torch.equal(teacher.give(batch, {"audio"}).audio, wanted)
    assert ("is damaged" in caplog.text) == (damage != "gone")


def test_other_weights_other_data_and_other_parts_never_meet(teacher, small_tones, teacher_folder):
    filled(teacher, small_tones, fields={"dry"})
    other = load_folder(teacher_folder)
    with torch.no_grad():
        next(other.parameters()).mul_(1.5)
    second = filled(Teacher(other, found=resolve.find(teacher_folder)), small_tones, fields={"dry"})
    assert second.cache.folder.path != teacher.cache.folder.path
    renamed = open_dataset(small_tones.path)
    renamed.hash = "0" * 64
    third = filled(Teacher(load_folder(teacher_folder), found=resolve.find(teacher_folder)), renamed, fields={"dry"})
    assert third.cache.folder.path != teacher.cache.folder.path


def fill_in_a_process(home, teacher_folder, data, counted):
    import os

    os.environ["ZOO_HOME"] = home
    torch.set_num_threads(1)
    teacher = Teacher(load_folder(teacher_folder), found=resolve.find(teacher_folder))
    calls = watch_decoder(teacher.model)
    filled(teacher, open_dataset(data))
    counted.put((len(calls), teacher.cache.present))


def test_two_processes_share_the_work(teacher_folder, small_tones, tmp_path):
    context = multiprocessing.get_context("spawn")
    counted = context.Queue()
    arguments = (str(tmp_path / "home"), str(teacher_folder), str(small_tones.path), counted)
    processes = [context.Process(target=fill_in_a_process, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    found = [counted.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    total = len(small_tones.split("train"))
    assert [present for _, present in found] == [total, total]
    assert sum(calls for calls, _ in found) == -(-min(total, ROWS) // 16) + (total > ROWS) * -(-(total - ROWS) // 16)


def test_what_another_process_makes_is_waited_for_last(teacher, small_tones, monkeypatch):
    monkeypatch.setattr(teacher_cache, "ROWS", 2)
    other = Teacher(teacher.model, found=teacher.found)
    wanted = parts(small_tones, fields={"dry"})
    cache = open_cache(other.model, other.hash, small_tones, wanted)
    held, begun = threading.Event(), threading.Event()

    def make_the_first():
        with locked(cache.folder.path / "train-00000"):
            held.set()
            last = f"train-{(len(wanted[0].positions) - 1) // 2:05d}-*.safetensors"
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not begun.is_set():
                if any((cache.folder.path / "dry-4").glob(last)):
                    begun.set()
                time.sleep(0.01)

    thread = threading.Thread(target=make_the_first)
    thread.start()
    assert held.wait(10)
    filled(teacher, small_tones, fields={"dry"})
    thread.join()
    assert begun.is_set()
    assert teacher.cache.complete


def run(small_tones, teacher_folder, out, **options):
    fixed = {"student": "gru-S", "student_options": SMALL, "progress": False, "accelerator": "cpu", "batch_size": 8}
    return distill(teacher=str(teacher_folder), dataset=small_tones.path, out=out, **{**fixed, **options})


def test_second_run_asks_the_teacher_nothing_and_says_so(small_tones, teacher_folder, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger="zoo")
    first = run(small_tones, teacher_folder, tmp_path / "first", steps=10)
    said = [r.message for r in caplog.records if r.message.startswith("teacher cache:")]
    total = said[-1].split(" of ")[1]
    assert said[0].startswith("teacher cache: 0 of ")
    assert said[-1] == f"teacher cache: {total.split()[0]} of {total}"
    caplog.clear()
    asked = []
    original = Teacher.__init__

    def watched(self, model, **options):
        original(self, model, **options)
        model.decoder.register_forward_hook(lambda *_: asked.append("decoder"))
        model.synth.register_forward_hook(lambda *_: asked.append("synth"))

    monkeypatch.setattr(Teacher, "__init__", watched)
    second = run(small_tones, teacher_folder, tmp_path / "second", steps=10)
    assert asked == []
    said = [r.message for r in caplog.records if r.message.startswith("teacher cache:")]
    assert len(said) == 1
    assert said[0].startswith(f"teacher cache: {total.split()[0]} of {total} (")
    for name in ("model.safetensors", "samples/phrase1_teacher.wav"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()
    assert first.metrics["teacher"] == second.metrics["teacher"]


def test_runs_on_other_parts_of_the_recordings_find_what_is_theirs(small_tones, teacher_folder, tmp_path, monkeypatch):
    asked = []
    original = Teacher.render

    def watched(self, batch, noise=None):
        asked.extend(batch["index"].tolist())
        return original(self, batch, noise)

    monkeypatch.setattr(Teacher, "render", watched)
    each = small_tones.minutes(small_tones.split("train")) / len(small_tones.split("train"))
    options = {"steps": 8, "evaluate": False}
    for number, drawn in enumerate([{"minutes": 2 * each}, {"minutes": 2 * each, "minutes_seed": 1}, {}]):
        run(small_tones, teacher_folder, tmp_path / str(number), **options, **drawn)
        assert asked == []


def test_run_is_the_same_with_and_without_the_cache(small_tones, teacher_folder, tmp_path):
    losses = {name: [Reconstruction(), OutputAudio(), Control()] for name in ("with", "without")}
    folders = [
        run(
            small_tones,
            teacher_folder,
            tmp_path / name,
            steps=10,
            validate_every=1,
            losses=losses[name],
            teacher_cache=name == "with",
        )
        for name in ("with", "without")
    ]
    a, b = (read_history(done.folder / "history.csv") for done in folders)
    for name in ("val_loss", "output_audio", "control"):
        assert a[0][name] == pytest.approx(b[0][name], rel=1e-5)
    assert a[1]["train_loss"] == pytest.approx(b[1]["train_loss"], rel=1e-5)
    for first, second in zip(a, b, strict=True):  # Adam's first steps make much of little
        assert first["val_loss"] == pytest.approx(second["val_loss"], rel=1e-2)
    for metric, value in folders[0].metrics["teacher"].items():
        assert value["mean"] == pytest.approx(folders[1].metrics["teacher"][metric]["mean"], rel=1e-4, abs=1e-4)


def test_cache_that_does_not_fit_is_done_without(small_tones, teacher_folder, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv(LIMIT_VARIABLE, "0.0001")
    done = run(small_tones, teacher_folder, tmp_path / "run", steps=2, batch_size=100, evaluate=False)
    assert done.steps == 2
    assert "runs at every step, without a cache: it would take" in caplog.text
    assert list((paths.cache_home() / "teachers").rglob("*.safetensors")) == []


def test_run_too_short_to_see_every_segment_computes_no_cache(small_tones, teacher_folder, tmp_path):
    run(small_tones, teacher_folder, tmp_path / "run", steps=1, batch_size=1, evaluate=False)
    assert list((paths.cache_home() / "teachers").rglob("*.safetensors")) == []


def test_full_disk_costs_the_cache_and_not_the_run(small_tones, teacher_folder, tmp_path, monkeypatch, caplog):
    from zoo.storage import tensor_shards

    def full(path, data):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(tensor_shards, "write_atomically", full)
    done = run(small_tones, teacher_folder, tmp_path / "run", steps=2, batch_size=100, evaluate=False)
    assert done.steps == 2
    assert "could not be completed" in caplog.text
