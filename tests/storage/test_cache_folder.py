import multiprocessing
import os

import pytest

from zoo.errors import ConfigError
from zoo.storage.cache_folder import LIMIT_VARIABLE, CacheFolder, limit_bytes

MEGABYTE = 2**20


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setenv(LIMIT_VARIABLE, str(10 / 1024))  # 10 MiB


def filled(root, key, *, used):
    """A cache of 4 MiB that was used last at a given time, and that nobody holds."""
    folder = CacheFolder(root, key)
    folder.hold()
    (folder.path / "data").write_bytes(bytes(4 * MEGABYTE))
    folder.release()
    os.utime(folder.path, (used, used))
    return folder


def test_cache_that_was_used_longest_ago_makes_room(tmp_path, small):
    old, new = filled(tmp_path, "old", used=1_000), filled(tmp_path, "new", used=2_000)
    mine = CacheFolder(tmp_path, "mine")
    mine.hold()
    assert mine.make_room(4 * MEGABYTE) is None
    assert not old.path.exists()
    assert new.path.exists()


def test_holding_a_cache_makes_it_the_last_used_one(tmp_path, small):
    old, new = filled(tmp_path, "old", used=1_000), filled(tmp_path, "new", used=2_000)
    old.hold()
    old.release()
    mine = CacheFolder(tmp_path, "mine")
    mine.hold()
    mine.make_room(4 * MEGABYTE)
    assert old.path.exists()
    assert not new.path.exists()


def test_cache_in_use_stays_and_the_reason_is_told(tmp_path, small):
    held = [filled(tmp_path, name, used=1_000) for name in ("a", "b")]
    for folder in held:
        folder.hold()
    mine = CacheFolder(tmp_path, "mine")
    mine.hold()
    assert "other runs are using 8.0 MiB" in mine.make_room(4 * MEGABYTE)
    assert all(folder.path.exists() for folder in held)


def test_cache_larger_than_the_bound_is_not_begun(tmp_path, small):
    mine = CacheFolder(tmp_path, "mine")
    mine.hold()
    assert f"{LIMIT_VARIABLE} allows 10.0 MiB" in mine.make_room(11 * MEGABYTE)


def test_what_is_there_already_counts_once(tmp_path, small):
    mine = filled(tmp_path, "mine", used=1_000)
    other = filled(tmp_path, "other", used=1_000)
    mine.hold()
    assert mine.make_room(6 * MEGABYTE) is None
    assert other.path.exists()


def die_holding(root):
    CacheFolder(root, "theirs").hold()
    os._exit(9)


def test_process_that_died_holds_nothing_and_leaves_nothing(tmp_path, small):
    theirs = filled(tmp_path, "theirs", used=1_000)
    left = theirs.path / "audio-4" / ".train-00000-x.safetensors"
    left.parent.mkdir()
    left.write_bytes(bytes(100))
    process = multiprocessing.get_context("spawn").Process(target=die_holding, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == 9
    CacheFolder(tmp_path, "theirs").hold()
    assert not left.exists()
    # released by going out of scope; a lock of the dead process must not keep it
    mine = CacheFolder(tmp_path, "mine")
    mine.hold()
    assert mine.make_room(9 * MEGABYTE) is None
    assert not theirs.path.exists()


@pytest.mark.parametrize("text", ["much", "-1", "nan"])
def test_bound_that_is_no_size_is_refused(monkeypatch, text):
    monkeypatch.setenv(LIMIT_VARIABLE, text)
    with pytest.raises(ConfigError, match=LIMIT_VARIABLE):
        limit_bytes()


def test_default_bound_is_twenty_gigabytes(monkeypatch):
    monkeypatch.delenv(LIMIT_VARIABLE, raising=False)
    assert limit_bytes() == 20 * 2**30
