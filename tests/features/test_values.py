"""Curves as people have them, and values that are no ordinary numbers: one meaning everywhere."""

import math

import numpy as np
import pytest
import torch

import zoo
from zoo.errors import DatasetError
from zoo.features import clean_f0, clean_loudness, scale_f0, scale_loudness
from zoo.features.values import as_floats

NAN, INF = math.nan, math.inf
FRAMES = 24


@pytest.fixture(scope="module", params=["gru-S", "s4-S"])
def model(request):
    torch.manual_seed(0)
    return zoo.create(request.param, reverb_length=100).eval()


def curves():
    f0_hz = 220 * 2 ** torch.linspace(0, 1, FRAMES)[None]
    f0_hz[:, 5:8] = 0
    return f0_hz, torch.linspace(-50, -10, FRAMES)[None], torch.rand(1, FRAMES * 64) * 2 - 1


FORMS = {
    "numpy": lambda x: x.numpy(),
    "float64 of numpy": lambda x: x.numpy().astype(np.float64),
    "float64": lambda x: x.double(),
    "lists": lambda x: x.tolist(),
    "a view from behind": lambda x: np.ascontiguousarray(x.numpy()[:, ::-1])[:, ::-1],
    "big-endian": lambda x: x.numpy().astype(">f4"),
    "rows in another order of memory": lambda x: np.asfortranarray(x.numpy()),
}


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_model_and_player_take_curves_as_people_have_them(form, model):
    given = curves()
    as_had = [FORMS[form](curve) for curve in given]
    assert torch.equal(model(*as_had).audio, model(*given).audio)
    expected = zoo.Player(model).process(given[0][0], given[1][0], given[2])
    played = zoo.Player(model).process(as_had[0][0], as_had[1][0], as_had[2])
    assert torch.equal(played, expected)


@pytest.mark.parametrize(("dtype", "error"), [(torch.bfloat16, 1e-2), (torch.float16, 1e-3)])
@torch.no_grad()
def test_model_in_half_precision_plays_what_its_weights_are(dtype, error, model):
    half = zoo.create(model.name, reverb_length=100).eval()
    half.load_state_dict(model.state_dict())
    half.to(dtype)
    given = curves()
    expected = model(*given).audio
    for curve in (given, [x.to(torch.float64) for x in given]):
        audio = half(*curve).audio
        assert audio.dtype == torch.float32
        assert (audio - expected).norm() < error * expected.norm()
    player = zoo.Player(half)
    assert torch.isfinite(player.process(given[0][0], given[1][0], given[2])).all()
    assert next(half.parameters()).dtype == dtype


@pytest.mark.parametrize(
    ("f0_hz", "loudness_db", "message"),
    [
        (
            torch.zeros(1, 50),
            torch.zeros(1, 49),
            r"differ in frames, 50 and 49: cut the longer one \(f0_hz\[\.\.\., :49",
        ),
        (torch.zeros(1, 8), torch.zeros(1, 9), r"cut the longer one \(loudness_db\[\.\.\., :8"),
        (np.zeros(50), np.zeros(50), r"found \[50\] and \[50\]\. For one clip: f0_hz\[None\]"),
        ([[1.0, 2.0], [1.0]], torch.zeros(2, 2), "f0_hz must be a tensor, a numpy array or lists of numbers, all rows"),
        ("440", torch.zeros(1, 1), "f0_hz must be a tensor"),
        (torch.zeros(1, 3), torch.zeros(1, 3, dtype=torch.complex64), "loudness_db must be real numbers"),
        (np.zeros((1, 3), complex), torch.zeros(1, 3), "f0_hz must be a tensor"),
        (torch.zeros(1, 0), torch.zeros(1, 0), "at least one frame"),
    ],
)
def test_curves_that_do_not_go_together_say_what_is_wrong(f0_hz, loudness_db, message, model):
    with pytest.raises(ValueError, match=message):
        model(f0_hz, loudness_db)


def test_player_says_which_curve_is_longer():
    with pytest.raises(ValueError, match=r"must be numbers.*found \[3\] and \[2\]\. They differ in frames"):
        zoo.Player(zoo.create("gru-S")).process([440.0] * 3, [-20.0] * 2)


def test_none_in_a_list_is_no_number_and_so_unvoiced():
    assert clean_f0(as_floats([[440.0, None]], name="f0_hz", like=torch.zeros(1))).tolist() == [[440.0, 0.0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_values_that_are_none_have_one_meaning(dtype):
    f0_hz = torch.tensor([440.0, 0.0, -0.0, -1.0, NAN, INF, -INF], dtype=dtype)
    loudness_db = torch.tensor([-20.0, -90.0, 5.0, NAN, INF, -INF], dtype=dtype)
    assert clean_f0(f0_hz).tolist() == [440.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert clean_loudness(loudness_db).tolist() == [-20.0, -90.0, 5.0, -80.0, 0.0, -80.0]
    far = clean_loudness(torch.tensor([3e38, -1e22], dtype=torch.float32).to(dtype))
    assert torch.isfinite(far.float() ** 2).all()  # in a network no square of it is infinite
    assert scale_f0(f0_hz)[1:].tolist() == [0.0] * 6
    assert scale_loudness(loudness_db)[3:].tolist() == [0.0, 1.0, 0.0]


@torch.no_grad()
def test_values_that_are_none_sound_as_what_they_mean(model):
    f0_hz, loudness_db, noise = curves()
    strange_f0, strange_loudness = f0_hz.clone(), loudness_db.clone()
    f0_hz[0, 10:13] = 0
    strange_f0[0, 10:13] = torch.tensor([NAN, INF, -INF])
    loudness_db[0, 15:18] = torch.tensor([-80.0, 0.0, -80.0])
    strange_loudness[0, 15:18] = torch.tensor([NAN, INF, -INF])
    expected = model(f0_hz, loudness_db, noise).audio
    assert torch.isfinite(expected).all()
    assert torch.equal(model(strange_f0, strange_loudness, noise).audio, expected)
    players = [
        zoo.Player(model).process(f[0], x[0], noise) for f, x in ((f0_hz, loudness_db), (strange_f0, strange_loudness))
    ]
    assert torch.equal(players[0], players[1])
    controls = model.decoder(scale_f0(f0_hz), scale_loudness(loudness_db)).controls
    assert torch.equal(model.synth(strange_f0, controls, noise).audio, model.synth(f0_hz, controls, noise).audio)


def test_gradients_pass_where_values_are_ordinary_and_are_finite_elsewhere(model):
    f0_hz, loudness_db, noise = curves()
    f0_hz[0, 10], loudness_db[0, 11] = NAN, -INF
    f0_hz.requires_grad_()
    loudness_db.requires_grad_()
    model(f0_hz, loudness_db, noise).audio.square().sum().backward()
    for gradient in (f0_hz.grad, loudness_db.grad):
        assert torch.isfinite(gradient).all()
        assert gradient[0, 0] != 0
    assert f0_hz.grad[0, 10] == 0
    assert loudness_db.grad[0, 11] == 0


def test_cleaning_records_as_one_graph():
    def clean(f0_hz, loudness_db):
        return clean_f0(f0_hz), clean_loudness(loudness_db)

    traced = torch.export.export(_Module(clean), (torch.zeros(1, 4), torch.zeros(1, 4)))
    found = traced.module()(torch.tensor([[1.0, NAN, -1.0, INF]]), torch.tensor([[-1.0, NAN, INF, -INF]]))
    assert [x.tolist() for x in found] == [[[1.0, 0.0, 0.0, 0.0]], [[-1.0, -80.0, 0.0, -80.0]]]


class _Module(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def test_recording_of_samples_that_are_no_numbers_is_refused():
    with pytest.raises(DatasetError, match="NaN or infinity"):
        zoo.create("gru-S").synthesize(np.array([0.0, NAN]), sample_rate=16000)
