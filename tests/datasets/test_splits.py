import librosa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.datasets.preparation.cutting import Span, cut, stretches_of_sound
from zoo.datasets.preparation.splits import SPLITS, assign


def consecutive(count, frames=1000):
    return [Span(k * frames, frames) for k in range(count)]


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(0, 8), min_size=1, max_size=12),
    groups=st.integers(1, 12),
    seed=st.integers(0, 5),
)
def test_every_segment_is_in_one_split_or_the_guard_gap(counts, groups, seed):
    segments = [consecutive(count) for count in counts]
    names = [f"g{k % groups}" for k in range(len(counts))]
    found = assign(segments, names, seed=seed, guard_frames=1000)
    placed = [pair for name in SPLITS for pair in found.splits[name]] + found.guard
    assert sorted(placed) == [(k, i) for k, count in enumerate(counts) for i in range(count)]
    used = {name for name, count in zip(names, counts, strict=True) if count}
    if len(used) >= 3:
        assert all(found.splits[name] for name in SPLITS)
        for name in used:
            homes = {s for s in SPLITS for recording, _ in found.splits[s] if names[recording] == name}
            assert len(homes) == 1
    assert found.splits["train"] or not any(counts)


@pytest.mark.parametrize("count", [10, 20, 100])
def test_recordings_are_split_80_10_10(count):
    found = assign([consecutive(3)] * count, [f"r{k}" for k in range(count)], seed=0, guard_frames=1000)
    sizes = {name: len(found.splits[name]) / (3 * count) for name in SPLITS}
    assert sizes == {"train": pytest.approx(0.8), "validation": pytest.approx(0.1), "test": pytest.approx(0.1)}


def test_the_seed_decides_on_the_splits():
    segments, names = [consecutive(2)] * 20, [f"r{k}" for k in range(20)]
    first = assign(segments, names, seed=0, guard_frames=0).splits
    assert assign(segments, names, seed=0, guard_frames=0).splits == first
    assert assign(segments, names, seed=1, guard_frames=0).splits != first


def test_a_lone_recording_is_split_in_blocks_with_a_guard_gap():
    found = assign([consecutive(20)], ["a"], seed=0, guard_frames=1000)
    positions = {name: [k for _, k in found.splits[name]] for name in SPLITS}
    assert positions == {"train": list(range(14)), "validation": [15, 16], "test": [18, 19]}
    assert sorted(found.guard) == [(0, 14), (0, 17)]


def test_a_natural_gap_serves_as_the_guard():
    spans = [Span(k * 3000, 1000) for k in range(5)]
    found = assign([spans], ["a"], seed=0, guard_frames=1000)
    assert not found.guard
    assert [len(found.splits[name]) for name in SPLITS] == [3, 1, 1]


@pytest.mark.parametrize(
    ("counts", "sizes"),
    [([1], [1, 0, 0]), ([3], [1, 1, 0]), ([5], [1, 1, 1]), ([1, 1], [1, 1, 0]), ([3, 1], [1, 1, 1])],
)
def test_few_segments_go_where_they_serve_most(counts, sizes):
    found = assign([consecutive(c) for c in counts], [str(k) for k in range(len(counts))], seed=0, guard_frames=1000)
    assert [len(found.splits[name]) for name in SPLITS] == sizes
    assert bool(found.notes) == (0 in sizes or counts == [5])


@pytest.mark.parametrize(
    ("frames", "kept", "dropped"),
    [(1000, [1000], 0), (2300, [1000, 1000, 300], 0), (2200, [1000, 1000], 200), (200, [], 200), (250, [250], 0)],
)
def test_stretches_are_cut_into_whole_segments_and_a_remainder(frames, kept, dropped):
    segments, left = cut(Span(7, frames), segment_frames=1000, min_frames=250)
    assert [s.frames for s in segments] == kept
    assert sum(s.frames for s in left) == dropped
    assert [s.start for s in segments] == [7 + 1000 * k for k in range(len(kept))]


@pytest.mark.parametrize("top_db", [20.0, 40.0])
def test_stretches_are_those_that_librosa_finds(top_db):
    generator = torch.Generator().manual_seed(0)
    level = torch.rand(40, generator=generator).pow(6).repeat_interleave(1000)[:39900]
    audio = torch.randn(39900, generator=generator) * level
    found = [(s.start * 64, (s.start + s.frames) * 64) for s in stretches_of_sound(audio, hop=64, silence_db=top_db)]
    expected = librosa.effects.split(audio.numpy(), top_db=top_db).tolist()
    assert len(found) > 1
    assert found == [(start, min(end, 39900 // 64 * 64)) for start, end in expected]


def test_stretches_are_whole_frames_at_any_hop():
    audio = torch.zeros(40000)
    audio[10000:20000] = 0.5
    (stretch,) = stretches_of_sound(audio, hop=96, silence_db=40.0)
    assert stretch.start * 96 <= 10000
    assert (stretch.start + stretch.frames) * 96 >= 20000
