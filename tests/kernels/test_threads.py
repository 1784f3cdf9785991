import threading

import pytest
import torch
from zoo_kernels._threads import over_ranges


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("calls_torch", [False, True])
@pytest.mark.parametrize("total", [0, 1, 2, 3, 10, 100])
def test_parts_make_up_the_whole(three_threads, calls_torch, total):
    done = []
    over_ranges(lambda start, stop: done.extend(range(start, stop)), total, calls_torch=calls_torch)
    assert sorted(done) == list(range(total))


def test_little_work_stays_in_the_calling_thread(three_threads):
    threads = set()
    over_ranges(lambda *_: threads.add(threading.current_thread()), 10, smallest=10)
    assert threads == {threading.current_thread()}


def test_torch_uses_one_thread_inside_and_what_it_used_outside(three_threads):
    inside = []
    for _ in range(2):
        over_ranges(lambda *_: inside.append(torch.get_num_threads()), 3, calls_torch=True)
    assert inside == [1] * 6
    assert torch.get_num_threads() == 3
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [3]


@pytest.mark.parametrize("calls_torch", [False, True])
def test_an_error_in_a_part_reaches_the_caller(three_threads, calls_torch):
    def fail_late(start, stop):
        if stop == 3:
            raise OSError("the last part")

    with pytest.raises(OSError, match="the last part"):
        over_ranges(fail_late, 3, calls_torch=calls_torch)
