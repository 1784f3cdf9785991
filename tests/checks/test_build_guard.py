"""What a config asks for is compared with its weights before it is built; absurd options of one's own are told."""

import json
import resource
import time

import pytest
import torch
from torch import nn

import zoo
from zoo.checks.build_guard import BeyondBoundsError, BuildGuard, result_size
from zoo.decoders import Decoded, Decoder
from zoo.errors import ZooError

TINY = {"reverb_length": 16}
MODELS = {
    "gru-S": {"hidden_size": 8, **TINY},
    "tcn-S": {"channels": 8, **TINY},
    "s4-S": {"model_size": 4, "blocks": 1, **TINY},
    "s4d-S": {"model_size": 4, "blocks": 1, **TINY},
    "ddx7-flute": {"channels": 8, **TINY},
}


def change(folder, part, **args):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    if part is None:
        config.update(args)
    else:
        config[part]["args"].update(args)
    path.write_text(json.dumps(config))


def refusal(folder):
    """What `zoo.load` says; it must say it soon, and without taking memory."""
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ZooError) as refused:
        zoo.load(folder)
    assert time.process_time() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB
    return str(refused.value)


@pytest.fixture
def saved(tmp_path):
    def save(name):
        with torch.random.fork_rng(devices=[]):
            folder = zoo.save(zoo.create(name, **MODELS.get(name, {})), tmp_path / name)
        zoo.load(folder)  # what is imported late is not to be measured
        return folder

    return save


@pytest.mark.parametrize(
    ("name", "part", "argument", "value"),
    [
        ("gru-S", "synth", "reverb_length", 3 * 10**9),
        ("gru-S", "synth", "harmonics", 10**9),
        ("gru-S", "synth", "noise_bands", 5000),
        ("gru-S", "decoder", "hidden_size", 10**9),
        ("gru-S", "decoder", "hidden_size", 50_000),
        ("gru-S", "decoder", "hidden_size", "48"),
        ("gru-S", None, "sample_rate", 10**300),
        ("gru-S", None, "hop", 10**12),
        ("tcn-S", "decoder", "blocks", 10**7),
        ("tcn-S", "decoder", "blocks", 100_000),
        ("s4-S", "decoder", "blocks", 100_000),
        ("ddx7-flute", "synth", "algorithm", 5),
        ("ddx7-flute", "decoder", "blocks", 5000),
        ("ddx7-flute", "synth", "ratios", [1.5] * 100_000),
    ],
)
def test_config_that_asks_for_too_much_is_refused_by_its_argument(saved, name, part, argument, value):
    folder = saved(name)
    change(folder, part, **{argument: value})
    assert argument in refusal(folder)


@pytest.mark.parametrize(("name", "size"), [("s4-S", 4000), ("s4d-S", 10**6)])
def test_large_state_is_compared_with_the_weights_before_anything_is_worked_out(saved, name, size):
    folder = saved(name)
    change(folder, "decoder", state_size=size)
    assert "does not fit its config" in refusal(folder)


class Greedy(Decoder):
    """A stranger's decoder, each option of which costs something else without limit."""

    def __init__(self, *, control_sizes, width=2, layers=1, basis=2, tries=1, rows=2):
        super().__init__(control_sizes=control_sizes)
        for _ in range(layers):
            self.add_module(f"layer{_}", nn.Linear(2, 2))
        for _ in range(tries):
            torch.zeros(2)
        self.register_buffer("vectors", torch.linalg.qr(torch.eye(basis) + 1)[0][:2], persistent=False)
        column = torch.arange(float(rows))
        self.register_buffer("table", (column[:, None] * column)[:2], persistent=False)
        self.weight = nn.Parameter(torch.zeros(width, width))
        self.heads = nn.ModuleDict({name: nn.Linear(2, size) for name, size in control_sizes.items()})

    def forward(self, f0_scaled, loudness_scaled):
        hidden = torch.stack([f0_scaled, loudness_scaled], -1)
        return Decoded({name: head(hidden) for name, head in self.heads.items()}, hidden)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("width", 10**6), ("layers", 10**5), ("basis", 4000), ("tries", 10**6), ("rows", 10**5), ("width", 2**40)],
)
def test_component_of_a_plugin_is_held_to_the_same_bounds(tmp_path, argument, value):
    from zoo import registry
    from zoo.models.model import Model
    from zoo.storage.config import ComponentConfig, ModelConfig

    registry.decoders.register("greedy")(Greedy)
    try:
        synth = ComponentConfig("harmonic_noise", {"harmonics": 2, "noise_bands": 3, **TINY})
        folder = zoo.save(Model(ModelConfig("greedy", ComponentConfig("greedy"), synth)), tmp_path / "model")
        assert zoo.load(folder).name == "greedy"
        change(folder, "decoder", **{argument: value})
        assert argument in refusal(folder)
    finally:
        registry.decoders.unregister("greedy")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"harmonics": 10**9}, "harmonics of the synth harmonic_noise is 1000000000"),
        ({"hidden_size": 10**6}, "hidden_size is 1000000"),
        ({"hidden_size": "48"}, "hidden_size of the decoder gru must be a whole number, found '48'"),
        ({"hidden_size": 1.5}, "must be a whole number, found 1.5"),
        ({"hidden_size": -1}, "cannot be built with .*hidden_size"),
        ({"sample_rate": 0}, "sample_rate must be a whole number from 1"),
        ({"features": {"n_fft": 10**12}}, "n_fft must be"),
    ],
)
def test_absurd_option_of_ones_own_is_told(options, message):
    with pytest.raises(ZooError, match=message):
        zoo.create("gru-S", **options)


def test_guard_leaves_other_threads_and_what_fits_alone():
    with BuildGuard(values=10, tensors=1):
        assert nn.Linear(3, 3)(torch.ones(1, 3)).shape == (1, 3)
        with pytest.raises(BeyondBoundsError):
            torch.zeros(10**6, 10**6)
    assert torch.zeros(10, 10).shape == (10, 10)


X, ROW = torch.zeros(3, 4), torch.zeros(5)


@pytest.mark.parametrize(
    "call",
    [
        (torch.zeros, 3, 4),
        (torch.zeros, (3, 4)),
        (torch.full, (3, 4), 1e9),
        (torch.eye, 5),
        (torch.eye, 5, 2),
        (torch.arange, 2, 10, 2),
        (torch.arange, 7.0),
        (torch.linspace, 20.0, 8000.0, 6),
        (torch.randint, 0, 10**9, (3, 4)),
        (torch.Tensor.repeat, X, 2, 3),
        (torch.Tensor.new_zeros, X, 7, 2),
        (torch.outer, ROW, ROW),
        (torch.matmul, X, torch.zeros(4, 6)),
        (torch.mul, ROW[:, None], ROW),
        (torch.diag_embed, ROW),
        (torch.fft.irfft, torch.zeros(3, 5), 20),
        (torch.nn.functional.pad, X, (1, 2)),
        (torch.einsum, "i,j->ij", ROW, ROW),
        (torch.kron, X, X),
        (torch.cdist, X, X),
    ],
)
def test_size_that_is_said_is_never_under_the_true_one_nor_far_over_it(call):
    func, *args = call
    tensors = [a for a in args if isinstance(a, torch.Tensor)]
    said, made = result_size(func.__name__, tensors, tuple(args), {}), func(*args).numel()
    assert made <= said <= 4 * made
