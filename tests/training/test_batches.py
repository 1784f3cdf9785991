import torch
from hypothesis import given
from hypothesis import strategies as st

from zoo.training.batches import Stream, fixed_noise

counts = st.integers(1, 40)


@given(segments=counts, batch_size=counts, seed=st.integers(0, 10), start=st.integers(0, 30))
def test_batches_do_not_depend_on_where_a_run_began(segments, batch_size, seed, start):
    whole = list(Stream(segments, batch_size=batch_size, seed=seed, start=0, stop=start + 5))
    assert list(Stream(segments, batch_size=batch_size, seed=seed, start=start, stop=start + 5)) == whole[start:]


@given(segments=counts, batch_size=counts)
def test_each_epoch_has_every_segment_once_and_no_batch_is_short(segments, batch_size):
    size = min(segments, batch_size)
    batches = list(Stream(segments, batch_size=batch_size, seed=0, start=0, stop=segments))
    assert {len(batch) for batch in batches} == {size}
    flat = [i for batch in batches for i in batch]
    for epoch in range(size):
        assert sorted(flat[epoch * segments : (epoch + 1) * segments]) == list(range(segments))


def test_epochs_and_seeds_differ_in_order():
    orders = [
        next(iter(Stream(20, batch_size=20, seed=seed, start=epoch, stop=epoch + 1)))
        for seed in (0, 1)
        for epoch in (0, 1)
    ]
    assert len({tuple(order) for order in orders}) == 4


def test_fixed_noise_belongs_to_the_segment_whatever_batch_it_comes_in():
    def batch(*indices):
        return {"f0_hz": torch.zeros(len(indices), 3), "index": torch.tensor(indices)}

    both, one = fixed_noise(batch(4, 7), hop=64, seed=0), fixed_noise(batch(7), hop=64, seed=0)
    assert torch.equal(both[1], one[0])
    assert not torch.equal(both[0], both[1])
    assert both.min() >= -1
    assert both.max() < 1
    assert abs(float(both.mean())) < 0.1
