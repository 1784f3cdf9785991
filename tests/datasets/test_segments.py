import pickle

import pytest
import torch

from zoo.datasets import open_dataset, prepare_dataset
from zoo.datasets.tones import tones
from zoo.errors import DatasetError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tones") / "small"
    prepare_dataset(tones(phrases=4, seconds=4.0), folder, dataset="tones")
    return folder


def test_items_make_batches_and_indices_are_unique(made):
    data = open_dataset(made)
    assert (data.name, data.instrument, data.sample_rate, data.hop, data.segment_frames) == (
        "small",
        "tones",
        16000,
        64,
        1000,
    )
    items = [item for name in ("train", "validation", "test") for item in data.split(name)]
    batch = torch.utils.data.default_collate(items)
    assert batch["audio"].shape == (4, 64000)
    assert batch["audio"].dtype == batch["f0_hz"].dtype == batch["loudness_db"].dtype == torch.float32
    assert batch["valid_frames"].dtype == batch["index"].dtype == torch.int64
    assert sorted(batch["index"].tolist()) == [0, 1, 2, 3]


def test_a_split_can_be_pickled_after_reading(made):
    split = open_dataset(made).split("train")
    first = split[0]
    again = pickle.loads(pickle.dumps(split))[0]
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_worker_processes_read_the_same(made):
    split = open_dataset(made).split("train")
    split[0]
    loader = torch.utils.data.DataLoader(split, batch_size=2, num_workers=1)
    assert torch.equal(next(iter(loader))["audio"][0], split[0]["audio"])


def test_the_hash_is_that_of_the_content(made, tmp_path):
    prepare_dataset(tones(phrases=4, seconds=4.0), tmp_path / "small", dataset="tones")
    assert open_dataset(tmp_path / "small").hash == open_dataset(made).hash
    prepare_dataset(tones(phrases=4, seconds=4.0, seed=1), tmp_path / "other" / "small", dataset="tones")
    assert open_dataset(tmp_path / "other" / "small").hash != open_dataset(made).hash


@pytest.mark.parametrize("harm", ["truncate", "flip", "remove", "index"])
def test_damage_is_named(tmp_path, harm):
    folder = tmp_path / "d"
    prepare_dataset(tones(phrases=1, seconds=4.0), folder, dataset="tones")
    shard = next(folder.glob("train-*"))
    data = bytearray(shard.read_bytes())
    if harm == "truncate":
        shard.write_bytes(data[:-100])
    elif harm == "flip":
        data[len(data) // 2] ^= 1
        shard.write_bytes(data)
    elif harm == "remove":
        shard.unlink()
    else:
        shard = folder / "dataset.json"
        shard.write_text(shard.read_text()[:100])
    with pytest.raises(DatasetError, match=f"{shard.name} is damaged"):
        open_dataset(folder)


def test_a_wrong_path_says_how_to_make_a_dataset(tmp_path):
    with pytest.raises(DatasetError, match=r"There is no folder.*zoo prepare"):
        open_dataset(tmp_path / "gone")
    with pytest.raises(DatasetError, match=r"not a prepared dataset.*zoo prepare"):
        open_dataset(tmp_path)
    (tmp_path / "violin").mkdir()
    (tmp_path / "violin" / "dataset.json").write_text("{}")
    with pytest.raises(DatasetError, match="several datasets: violin"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match="does not describe"):
        open_dataset(tmp_path / "violin")


def test_an_unknown_split_gives_those_there_are(made):
    with pytest.raises(DatasetError, match="Did you mean validation"):
        open_dataset(made).split("valid")
