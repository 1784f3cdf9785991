import pytest
import torch
import zoo_kernels
from torch.autograd import gradcheck
from zoo_kernels import OperatorGraph, reference

PAIR = OperatorGraph(modulators=((1,), ()), carriers=(0,), phases=(0, 0), multiples=(1, 1))
GRAPHS = {
    "pair": PAIR,
    "one sine": OperatorGraph(modulators=((),), carriers=(0,), phases=(0,), multiples=(3,)),
    "stacks": OperatorGraph(
        modulators=((1, 2, 4), (), (3,), (), (5,), ()),
        carriers=(0,),
        phases=(0, 0, 0, 0, 0, 1),
        multiples=(1, 1, 1, 2, 2, 1),
    ),
    "one modulates two that are heard": OperatorGraph(
        modulators=((), (0,), (0, 1)), carriers=(1, 2), phases=(1, 0, 0), multiples=(1, 2, 1)
    ),
}


def problem(graph, *, batch=2, frames=5, hop=6, dtype=torch.float32):
    torch.manual_seed(0)
    tones = max(graph.phases) + 1
    phases = 40 * torch.rand(batch, tones, frames * hop, dtype=torch.float64) - 20
    levels = torch.rand(batch, frames, len(graph.modulators), dtype=dtype)
    return phases.requires_grad_(), levels.requires_grad_()


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 5, 6), (3, 40, 64)])
def test_modulation_agrees_with_the_reference_in_values_and_gradients(graph, sizes, backend):
    batch, frames, hop = sizes
    arguments = problem(graph, batch=batch, frames=frames, hop=hop)
    expected = reference.frequency_modulation(*arguments, graph, hop=hop)
    found = zoo_kernels.frequency_modulation(*arguments, graph, hop=hop, backend=backend)
    assert found.dtype == torch.float32
    grad = torch.randn(found.shape)
    wanted = torch.autograd.grad(expected, arguments, grad.double())
    gradients = torch.autograd.grad(found, arguments, grad)
    for a, b in zip((found, *gradients), (expected, *wanted), strict=True):
        assert (a - b).abs().max() <= 1e-5 * max(1.0, float(b.detach().abs().max()))


def test_modulation_gradcheck_in_float64():
    graph = GRAPHS["stacks"]
    arguments = problem(graph, batch=1, frames=3, hop=4, dtype=torch.float64)
    gradcheck(lambda phases, levels: zoo_kernels.frequency_modulation(phases, levels, graph, hop=4), arguments)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_modulation_stays_right_at_phases_and_multiples_that_are_large(backend):
    graph = OperatorGraph(modulators=((1,), ()), carriers=(0,), phases=(0, 0), multiples=(1, 14))
    phases = 1e5 + torch.linspace(0, 50, 128, dtype=torch.float64).reshape(1, 1, 128)
    levels = torch.full((1, 2, 2), 0.3)
    expected = reference.frequency_modulation(phases, levels, graph, hop=64)
    found = zoo_kernels.frequency_modulation(phases, levels, graph, hop=64, backend=backend)
    assert (found - expected).abs().max() < 2e-6


def test_levels_are_interpolated_between_the_frames_centres():
    sine = GRAPHS["one sine"]
    quarter = torch.full((1, 1, 8), torch.pi / 6, dtype=torch.float64)  # times three: the sine is 1
    found = zoo_kernels.frequency_modulation(quarter, torch.tensor([[[0.0], [1.0]]]), sine, hop=4)
    torch.testing.assert_close(found[0], torch.tensor([0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]))


def test_modulation_does_not_depend_on_the_number_of_threads():
    phases, levels = (x.detach() for x in problem(GRAPHS["stacks"], batch=4, frames=300, hop=64))
    threads = torch.get_num_threads()
    try:
        found = []
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(zoo_kernels.frequency_modulation(phases, levels, GRAPHS["stacks"], hop=64))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_nan_in_levels_is_nan_in_the_audio(backend):
    phases, levels = (x.detach() for x in problem(PAIR))
    levels[0, 2, 1] = float("nan")
    found = zoo_kernels.frequency_modulation(phases, levels, PAIR, hop=6, backend=backend)
    assert found[0].isnan().any()
    assert not found[1].isnan().any()


def test_modulation_of_no_frames_is_empty():
    found = zoo_kernels.frequency_modulation(torch.zeros(2, 1, 0), torch.zeros(2, 0, 2), PAIR, hop=4)
    assert found.shape == (2, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modulators": ((1,), (0,))}, "in a circle"),
        ({"modulators": ((0,), ())}, "in a circle"),
        ({"modulators": ((2,), ())}, "no operator 2"),
        ({"carriers": (-1,)}, "no operator -1"),
        ({"carriers": ()}, "a carrier"),
        ({"multiples": (1,)}, "for each operator"),
        ({"phases": (-1, 0)}, "phases are numbered from 0"),
    ],
)
def test_graph_that_cannot_be_is_refused(changes, message):
    parts = {"modulators": ((1,), ()), "carriers": (0,), "phases": (0, 0), "multiples": (1, 1)}
    with pytest.raises(ValueError, match=message):
        OperatorGraph(**{**parts, **changes})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, v: (p[0], v), r"phases must be \[batch, tones, samples\]"),
        (lambda p, v: (p, v[:, 1:]), "need phases"),
        (lambda p, v: (p.half(), v), "float32 or float64"),
        (lambda p, v: (p, v[..., :1]), "2 levels of operators, and is given 1"),
        (lambda p, v: (p[:, :0], v), "1 phases, and is given 0"),
    ],
)
def test_modulation_refuses_what_does_not_fit(change, message):
    phases, levels = (x.detach() for x in problem(PAIR))
    with pytest.raises(ValueError, match=message):
        zoo_kernels.frequency_modulation(*change(phases, levels), PAIR, hop=6)


def test_compiled_modulation_is_float32_alone():
    with pytest.raises(ValueError, match="takes float32"):
        zoo_kernels.frequency_modulation(*problem(PAIR, dtype=torch.float64), PAIR, hop=6, backend="numba")
