import json
import multiprocessing

import pytest

from zoo.datasets import prepare_dataset
from zoo.datasets.index import WORK_NAME
from zoo.errors import DatasetError, InUseError
from zoo.storage.locks import hold


def recordings(notes):
    return [notes(f"r{number}", notes=((5.0, 220.0 + 20 * number),)) for number in range(3)]


def prepare(made, out, settings, barrier, results):
    barrier.wait()
    try:
        (outcome,) = prepare_dataset(made, out, settings)
        results.put(outcome.recordings)
    except InUseError as error:
        results.put(str(error))


def test_same_preparation_twice_at_once_loses_nothing(notes, yin, tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    arguments = (recordings(notes), tmp_path / "out", yin, barrier, results)
    processes = [context.Process(target=prepare, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    said = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert 3 in said
    assert all(one == 3 or "is in use: preparing" in one for one in said)
    info = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert len(info["sources"]) == 3
    assert not (tmp_path / "out" / WORK_NAME).exists()
    assert not list((tmp_path / "out").glob(".*"))


def test_dataset_that_is_done_needs_no_lock(notes, yin, tmp_path):
    prepare_dataset(recordings(notes), tmp_path / "out", yin)
    with hold(tmp_path / "out", doing="preparing", advice="wait"):
        (outcome,) = prepare_dataset(recordings(notes), tmp_path / "out", yin)
        assert not outcome.fresh
        with pytest.raises(InUseError, match="give another folder"):
            prepare_dataset(recordings(notes), tmp_path / "out", yin, force=True)


def test_analysis_that_is_lost_is_done_again(notes, yin, tmp_path):
    lost = []

    def take_away(done, total, name):
        if len(lost) < 2:
            lost.extend((tmp_path / "out" / WORK_NAME).glob("*.safetensors"))
            for path in lost:
                path.unlink(missing_ok=True)

    (outcome,) = prepare_dataset(recordings(notes), tmp_path / "out", yin, progress=take_away)
    assert lost
    assert outcome.recordings == 3
    assert outcome.skipped == []


def test_analyses_that_never_stay_are_an_error_and_no_small_dataset(notes, yin, tmp_path):
    def take_away(done, total, name):
        for path in (tmp_path / "out" / WORK_NAME).glob("*.safetensors"):
            path.unlink()

    with pytest.raises(DatasetError, match="do not stay"):
        prepare_dataset(recordings(notes), tmp_path / "out", yin, progress=take_away)
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_dataset_that_an_older_zoo_left_recordings_out_of_is_made_again(notes, yin, tmp_path):
    prepare_dataset(recordings(notes), tmp_path / "out", yin)
    index = tmp_path / "out" / "dataset.json"
    info = json.loads(index.read_text())
    info["skipped"] = [{"source": "r1", "seconds": 0.0, "reason": "its analysis is lost"}]
    index.write_text(json.dumps(info))
    (outcome,) = prepare_dataset(recordings(notes), tmp_path / "out", yin)
    assert outcome.fresh
    assert outcome.recordings == 3
