"""Tasks on a real Ray cluster of several nodes, one of which is lost on the way."""

import shutil
from pathlib import Path

import pytest
from zoo_experiments import parcels
from zoo_experiments.grid import grid
from zoo_experiments.ray_executor import _order
from zoo_experiments.ray_worker import work
from zoo_experiments.runs import Run

import zoo
from zoo.__main__ import main
from zoo.datasets import open_dataset
from zoo.datasets.tones import tones
from zoo.executors import Call, ExecutorConfig, State, run_tasks

STEPS = 120


@pytest.fixture(scope="module")
def cluster():
    """A head that computes nothing, and a node with two cores."""
    from ray.cluster_utils import Cluster

    # A node is lost when five looks at it have failed, at once where nothing answers: after 2.5 s for Ray's usual 15.
    # One that is there and slow has as long as ever to answer.
    looks = {"health_check_period_ms": 500}
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": looks}
    found = Cluster(initialize_head=True, head_node_args=head)
    found.add_node(num_cpus=2)
    yield found
    found.shutdown()


def lose_a_node(cluster):
    """Kill a node, and have another one come."""
    lost = next(node for node in cluster.list_all_nodes() if node is not cluster.head_node)
    cluster.add_node(num_cpus=2)
    cluster.remove_node(lost, allow_graceful=False)


def pair(folder, dataset, teacher):
    recipe = folder / "pair.gin"
    recipe.write_text(
        f"include 'distill/gru-L-to-gru-S.gin'\nTEACHER = {str(teacher)!r}\nDATASET = {str(dataset)!r}\n"
        f"BATCH_SIZE = 4\nSTEPS = {STEPS}\nVALIDATE_EVERY = 10\ndistill.evaluate = False\ntrainer.accelerator = 'cpu'\n"
        "distill.student_options = {'hidden_size': 8, 'reverb_length': 200}\n"
    )
    return recipe


def test_run_whose_node_is_lost_goes_on_elsewhere_and_ends_with_the_same_weights(
    cluster, small_tones, teacher_folder, tmp_path
):
    recipe = pair(tmp_path, small_tones.path, teacher_folder)
    out, lost = tmp_path / "grid", []

    def show(statuses):
        if not lost and statuses[0].state is State.RUNNING and statuses[0].task.progress()[0] >= 10:
            lost.append(statuses[0].task.progress()[0])
            lose_a_node(cluster)

    execution = ExecutorConfig(executor="ray", address=cluster.address)
    (row,) = grid(recipes=[str(recipe)], out=out, execution=execution, show=show)
    assert row.steps == STEPS
    assert lost
    assert "resumed at step" in (out / "logs" / "pair.log").read_text()
    assert "zoo-ray" not in (out / "pair" / "config.gin").read_text()
    assert main(["distill", "--gin", str(recipe), "--out", str(tmp_path / "here")]) == 0
    for name in ("model.safetensors", "config.json"):
        assert (out / "pair" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    # again: it is done, and nothing is started
    weights = (out / "pair" / "model.safetensors").stat().st_mtime_ns
    grid(recipes=[str(recipe)], out=out, execution=execution)
    assert (out / "pair" / "model.safetensors").stat().st_mtime_ns == weights


def test_dataset_that_is_prepared_with_a_node_lost_has_the_same_bytes(cluster, tmp_path):
    recordings = tmp_path / "in"
    for number, one in enumerate(tones(phrases=8, seconds=4.0)):
        zoo.features.write_wav(recordings / f"{number}.wav", one.load(16000), sample_rate=16000)
    options = ["--pitch", "yin", "--min-confidence", "0"]
    assert main(["prepare", str(recordings), str(tmp_path / "here" / "d"), *options]) == 0
    lost = []

    from zoo.datasets import PrepareConfig, prepare

    def progress(done, total, name):
        if not lost:
            lost.append(name)
            lose_a_node(cluster)

    config = PrepareConfig.from_flat(
        recordings=recordings, out=tmp_path / "there" / "d", pitch="yin", min_confidence=0.0, executor="ray",
        address=cluster.address,
    )  # fmt: skip
    prepare(config, progress=progress)
    assert lost

    def files(folder):
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert files(tmp_path / "there" / "d") == files(tmp_path / "here" / "d")


def test_error_of_a_function_comes_home(cluster, tmp_path):
    with ExecutorConfig(executor="ray", address=cluster.address).open() as ray:
        (status,) = run_tasks([Call("x", tmp_path / "x", Path.read_text, (tmp_path / "nowhere",))], ray)
    assert isinstance(status.error, FileNotFoundError)
    assert status.tries == 1


def test_files_that_a_node_does_not_have_are_sent(cluster, small_tones, tmp_path):
    import ray

    data = shutil.copytree(small_tones.path, tmp_path / "data")
    copy = tmp_path / "copy" / "index.json"
    order = _order(Call("copy", copy, shutil.copyfile, (data / "dataset.json", copy)), 1)
    contents = parcels.read_files(data / "dataset.json", [""])
    (data / "dataset.json").write_text("something else lies there on the node")
    assert list(work(order)) == [("needs", [0])]
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        order.sent[0] = ray.put(contents)
        told = list(work(order))
    finally:
        ray.shutdown()
    assert told[1] == ("files", {"": contents[""]})
    assert told[-1] == ("ended", "", False, None)


def test_folder_that_is_sent_is_a_dataset_there(small_tones, tmp_path):
    described = parcels.describe(small_tones.path)
    assert parcels.is_here(described)
    contents = parcels.read_files(small_tones.path, list(described[1]))
    place = parcels.unpack(described, contents, tmp_path / "node")
    assert open_dataset(place).hash == small_tones.hash
    assert parcels.unpack(described, {}, tmp_path / "node") == place


def test_what_a_run_wrote_last_comes_last_and_what_is_half_written_stays(tmp_path):
    for number, name in enumerate(["done.json", "a.txt", ".in-use", "checkpoints/last.ckpt"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
        __import__("os").utime(tmp_path / name, (100 - number, 100 - number))
    assert list(parcels.files_in(tmp_path)) == ["checkpoints/last.ckpt", "a.txt", "done.json"]


def test_run_names_what_it_reads_for_machines_that_do_not_see_it(small_tones, teacher_folder, tmp_path):
    from zoo.training import DistillConfig

    begins = {"init_from": teacher_folder, "reverb_from": teacher_folder}
    config = DistillConfig(teacher=teacher_folder, student="gru-S", dataset=small_tones.path, **begins)
    run = Run("a", tmp_path / "a", ("-m", "zoo"), tmp_path / "a.log", 1, config)
    models = [(f"distill.{setting}", teacher_folder) for setting in ("teacher", *begins)]
    assert run.reads() == [("distill.dataset", small_tones.path), *models]
