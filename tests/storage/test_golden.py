"""Golden audio: it goes with the weights that made it, and says whether a model plays as where it was saved."""

import pytest
import torch
from building import MODELS
from safetensors.torch import load_file, save_file

import zoo
from zoo.errors import CheckpointError
from zoo.models.loading import check_golden
from zoo.storage.golden import MAX_GOLDEN_BYTES, read_golden, write_golden
from zoo.storage.run_files import GOLDEN, published_files
from zoo.storage.store import models_in

SMALL = {"hidden_size": 8, "reverb_length": 100}


@pytest.fixture
def saved(tmp_path):
    return zoo.save(zoo.create("gru-S", instrument="flute", **SMALL), tmp_path / "run")


def test_saved_model_has_golden_audio_that_others_get_too(saved):
    golden = read_golden(saved)
    assert golden.audio.shape == golden.noise.shape == (1, 16000)
    assert golden.audio.abs().max() > 0.01
    assert (golden.f0_hz == 0).any()
    assert (golden.f0_hz > 0).any()
    assert GOLDEN in published_files(saved)
    assert (saved / GOLDEN).stat().st_size < MAX_GOLDEN_BYTES
    assert float(check_golden(saved).split()[0]) < 1e-4


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gru-S", {"sample_rate": 48000, "hop": 192}),
        ("gru-S", {"sample_rate": 96000, "hop": 512}),
        ("tcn-S", {"blocks": 2}),
    ],
)
def test_golden_audio_is_small_at_any_rate(tmp_path, name, options):
    folder = zoo.save(zoo.create(name, reverb_length=50, **options), tmp_path / "run")
    assert (folder / GOLDEN).stat().st_size < MAX_GOLDEN_BYTES
    assert check_golden(folder) is not None


def test_same_model_gives_the_same_golden_bytes(saved, tmp_path):
    again = zoo.save(zoo.load(saved), tmp_path / "again")
    assert (again / GOLDEN).read_bytes() == (saved / GOLDEN).read_bytes()


def test_golden_audio_is_that_of_the_rounded_weights(tmp_path):
    model = zoo.create("gru-S", hidden_size=44, reverb_length=2000)
    folder = zoo.save(model, tmp_path / "half", weights_dtype="float16")
    golden = read_golden(folder)
    with torch.no_grad():
        own, loaded = (
            m.eval()(golden.f0_hz, golden.loudness_db, golden.noise).audio for m in (model, zoo.load(folder))
        )
    torch.testing.assert_close(loaded, golden.audio, atol=1e-6, rtol=0)
    assert (own - golden.audio).abs().max() > 10 * (loaded - golden.audio).abs().max()


def test_saving_leaves_the_model_in_training_and_torch_with_the_same_numbers(tmp_path):
    model = zoo.create("tcn-S", blocks=2, reverb_length=50).train()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    zoo.save(model, tmp_path / "run")
    assert model.training
    assert torch.equal(torch.rand(3), expected)


def test_no_golden_audio_of_other_weights_stays(saved):
    other = zoo.create("gru-S", instrument="flute", **SMALL)
    zoo.storage.checkpoint.save(other, saved, golden=False)
    assert not (saved / GOLDEN).exists()
    assert check_golden(saved) is None
    zoo.load(saved)
    write_golden(zoo.load(saved), saved)
    assert check_golden(saved) is not None


def test_model_that_makes_other_audio_is_found(saved):
    tensors = load_file(saved / GOLDEN)
    golden = read_golden(saved)
    tensors["audio"] = tensors["audio"] + 0.01 * golden.audio.abs().max()
    about = f'{{"tolerance": {golden.tolerance}, "weights_sha256": "{golden.weights_sha256}"}}'
    save_file(tensors, saved / GOLDEN, metadata={"zoo": about})
    with pytest.raises(CheckpointError, match=r"differ by 0\.0099 of the peak"):
        check_golden(saved)


def test_damaged_and_foreign_golden_files_are_explained(saved, tmp_path):
    other = zoo.save(zoo.create("gru-S", instrument="flute", **SMALL), tmp_path / "other")
    whole = (saved / GOLDEN).read_bytes()
    for content, message in (
        (whole[:1000], "damaged"),
        (b"", "damaged"),
        (whole + bytes(MAX_GOLDEN_BYTES), "damaged"),
        ((other / GOLDEN).read_bytes(), "other weights"),
    ):
        (saved / GOLDEN).write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            check_golden(saved)
        zoo.load(saved)


@pytest.mark.parametrize("name", sorted(models_in(MODELS)))
def test_shipped_model_makes_its_golden_audio(name):
    assert check_golden(MODELS / name) is not None
    assert (MODELS / name / GOLDEN).stat().st_size < MAX_GOLDEN_BYTES
