import json

import numpy as np
import pytest
import scipy.linalg
import torch
from metric_networks import Logarithms, Sum, small_vggish, write_torchscript, write_vggish

from zoo import metrics, register, registry, testing
from zoo.errors import ConfigError
from zoo.metrics.embedding import VGGish, log_mel_pictures
from zoo.metrics.mel import log_mel
from zoo.metrics.sets import Gaussian, SetTally


def sounds(rows=6, samples=32000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(rows, samples, generator=generator) * torch.linspace(0.2, 1, rows)[:, None]


def test_frechet_distance_is_scipys_of_the_covariances():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(500, 7)) @ random.normal(size=(7, 7)), 2 + random.normal(size=(300, 7))
    covariances = np.cov(x.T), np.cov(y.T)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root).real
    found = metrics.frechet_distance(Gaussian.of(torch.from_numpy(x)), Gaussian.of(torch.from_numpy(y)))
    assert found == pytest.approx(expected, rel=1e-9)


def test_frechet_log_mel_is_that_of_all_frames():
    a, b = sounds(), sounds(seed=1) * 0.5
    frames = [log_mel(x.double(), sample_rate=16000).transpose(1, 2).reshape(-1, 64).numpy() for x in (a, b)]
    covariances = [np.cov(f.T) for f in frames]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    apart = frames[0].mean(0) - frames[1].mean(0)
    expected = apart @ apart + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert metrics.frechet_log_mel(a, b, sample_rate=16000).item() == pytest.approx(expected, rel=1e-4)


def test_fewer_frames_than_bands_still_have_a_distance():
    a = sounds(1, 2048)
    found = metrics.frechet_log_mel(a, 2 * a, sample_rate=16000)
    assert found.isfinite()
    assert found > 0
    assert metrics.frechet_log_mel(a, a.clone(), sample_rate=16000).item() == pytest.approx(0, abs=1e-9)


def test_a_tally_gives_the_distance_of_the_whole_and_its_error():
    a, b = sounds(25), sounds(25, seed=1) * 0.5
    tally = SetTally()
    for x, y in zip(a, b, strict=True):
        tally.add(*(metrics.frechet_log_mel.statistics(each[None], sample_rate=16000) for each in (x, y)))
    distance, error = tally.distance()
    assert tally.clips == 25
    assert distance == pytest.approx(metrics.frechet_log_mel(a, b, sample_rate=16000).item(), rel=1e-6)
    assert 0 < error < distance


def test_the_error_of_a_mean_is_its_standard_error():
    # of two sets that differ by their means alone, where the distance is the square of a mean
    values = torch.from_numpy(np.random.default_rng(0).normal(5.0, 1.0, 10))
    tally = SetTally()
    for value in values:
        tally.add(
            Gaussian.of(torch.tensor([[-1.0 + value], [1.0 + value]])), Gaussian.of(torch.tensor([[-1.0], [1.0]]))
        )
    _, error = tally.distance()
    assert error == pytest.approx(2 * float(values.mean()) * float(values.std()) / 10**0.5, rel=0.1)


def test_audio_distance_needs_weights_and_says_so():
    with pytest.raises(ConfigError, match="zoo brings none"):
        metrics.frechet_audio_distance(sounds(), sounds(), sample_rate=16000)


@pytest.mark.parametrize("write", [write_torchscript, write_vggish])
def test_audio_distance_keeps_the_promises_of_a_metric(tmp_path, write):
    suffix = "safetensors" if write is write_vggish else "pt"
    weights = write(tmp_path / f"network.{suffix}")
    testing.check_metric("frechet_audio_distance", options={"weights": str(weights)})


def test_audio_distance_is_that_of_the_networks_vectors(tmp_path):
    weights = write_torchscript(tmp_path / "network.pt")
    a, b = sounds(), 0.3 * sounds(seed=1)
    vectors = []
    for x in (a, b):
        pieces = x.double().reshape(-1, 1000)
        vectors.append(Gaussian.of(torch.stack([pieces.square().mean(1), pieces.abs().mean(1)], 1)))
    found = metrics.frechet_audio_distance(a, b, sample_rate=16000, weights=weights)
    assert found.item() == pytest.approx(metrics.frechet_distance(*vectors), rel=1e-4)


def test_vggish_is_rebuilt_from_names_and_shapes(tmp_path):
    network = small_vggish()
    audio = sounds(1, 40000)
    pictures = log_mel_pictures(audio)
    assert pictures.shape == (2, 96, 64)
    with torch.no_grad():
        inside = network["features"](pictures[:, None]).permute(0, 2, 3, 1).flatten(1)
        expected = network["embeddings"](inside)
        found = VGGish(network.state_dict(), name="x")(audio)
    torch.testing.assert_close(found, expected)


def test_vggish_sees_a_tone_in_the_band_of_its_frequency():
    time = torch.arange(16000) / 16000
    loudest = [
        int(log_mel_pictures(torch.sin(2 * torch.pi * hz * time)[None])[0].mean(0).argmax()) for hz in (440, 3000)
    ]
    mels = 1127 * np.log1p(np.array([125.0, 7500.0, 440.0, 3000.0]) / 700)
    places = (mels[2:] - mels[0]) / (mels[1] - mels[0]) * 65 - 1
    assert np.abs(np.array(loudest) - places).max() <= 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path, "no file"),
        (lambda path: path.write_bytes(b"not a network") and path, "not a TorchScript module"),
        (lambda path: torch.save({"a": torch.ones(1)}, path) or path, "not a TorchScript module"),
    ],
)
def test_files_that_are_no_network_are_refused(tmp_path, make, message):
    weights = make(tmp_path / "network.pt")
    with pytest.raises(ConfigError, match=message):
        metrics.frechet_audio_distance(sounds(), sounds(), sample_rate=16000, weights=weights)


def test_other_safetensors_and_networks_that_give_no_vectors_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"layer.weight": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match=r"does not hold VGGish's weights.*layer\.weight"):
        metrics.frechet_audio_distance(sounds(), sounds(), sample_rate=16000, weights=tmp_path / "other.safetensors")
    write_torchscript(tmp_path / "sum.pt", Sum())
    with pytest.raises(ConfigError, match=r"sum\.pt gives \[\], where vectors are needed"):
        metrics.frechet_audio_distance(sounds(), sounds(), sample_rate=16000, weights=tmp_path / "sum.pt")


def test_network_that_gives_no_numbers_is_refused_by_name(tmp_path):
    write_torchscript(tmp_path / "log.pt", Logarithms())
    with pytest.raises(ConfigError, match=r"log\.pt gives NaN or infinity.* silent"):
        metrics.frechet_audio_distance(sounds(), 0 * sounds(), sample_rate=16000, weights=tmp_path / "log.pt")


def test_a_plugin_can_bring_a_measure_of_sets():
    @metrics.set_metric
    def peaks(audio, *, valid_samples=None):
        return Gaussian.of(audio.abs().amax(dim=1, keepdim=True))

    register.metric("peaks")(peaks)
    try:
        assert registry.metrics.get("peaks")(sounds(), 2 * sounds()).item() > 0
        assert "peaks" in registry.metrics.names()
    finally:
        registry.metrics.unregister("peaks")


def test_summaries_are_plain_numbers():
    tally = SetTally()
    tally.add(*(metrics.frechet_log_mel.statistics(sounds(1, seed=k), sample_rate=16000) for k in (0, 1)))
    assert json.loads(json.dumps(tally.distance()))[1] == 0.0
