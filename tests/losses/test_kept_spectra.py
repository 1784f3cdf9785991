import pytest
import torch

from zoo.losses import multi_scale_spectral
from zoo.losses.spectra_cache import SpectraCache
from zoo.losses.spectral_targets import target_spectra

SIZES, OVERLAP = (256, 64), 0.75


def of(kept, audio, valid=None):
    return kept.of(audio, fft_sizes=SIZES, overlap=OVERLAP, valid_samples=valid)


def same(found, audio, sizes=SIZES, overlap=OVERLAP, valid=None):
    """Whether each row's spectra are those of the row alone, to the bit."""
    for i in range(len(audio)):
        some = None if valid is None else valid[[i]]
        alone = target_spectra(audio[[i]], fft_sizes=sizes, overlap=overlap, valid_samples=some)
        if not all(torch.equal(a[i], b[0]) for a, b in zip(found.magnitudes, alone.magnitudes, strict=True)):
            return False
    return all(len(magnitude) == len(audio) for magnitude in found.magnitudes)


@pytest.fixture
def audio():
    return torch.randn(6, 3000, generator=torch.Generator().manual_seed(0))


def test_rows_are_the_same_to_the_bit_in_whatever_batch_they_come(audio):
    kept = SpectraCache()
    of(kept, audio[[3]])
    of(kept, audio[[5, 1]])
    for rows in ([0, 1, 2, 3, 4, 5], [4, 4, 2], [5]):
        assert same(of(kept, audio[rows]), audio[rows])
    assert len(kept) == 6


def test_padding_makes_another_target(audio):
    kept = SpectraCache()
    valid = torch.tensor([3000, 2000, 3000, 100, 3000, 1])
    of(kept, audio)
    found = of(kept, audio, valid)
    assert same(found, audio, valid=valid)
    whole = target_spectra(audio, fft_sizes=SIZES, overlap=OVERLAP, valid_samples=valid)
    for kept_one, one in zip(found.magnitudes, whole.magnitudes, strict=True):
        torch.testing.assert_close(kept_one, one)
    signal = torch.zeros_like(audio)
    value = multi_scale_spectral(signal, found, fft_sizes=SIZES, valid_samples=valid)
    torch.testing.assert_close(value, multi_scale_spectral(signal, audio, fft_sizes=SIZES, valid_samples=valid))


def test_other_sizes_are_not_taken_for_these(audio):
    kept = SpectraCache()
    of(kept, audio)
    other = kept.of(audio, fft_sizes=(128,), overlap=0.5, valid_samples=None)
    assert same(other, audio, sizes=(128,), overlap=0.5)


@pytest.mark.parametrize("rows_of_room", [0, 2.5, 6])
def test_no_more_is_kept_than_there_is_room_for_and_the_rest_is_right(audio, rows_of_room):
    row = sum(m.numel() * 4 for m in target_spectra(audio[:1], fft_sizes=SIZES, overlap=OVERLAP).magnitudes)
    kept = SpectraCache(limit=int(rows_of_room * row))
    for _ in range(2):
        for rows in ([0, 1], [2, 3, 4], [5]):
            assert same(of(kept, audio[rows]), audio[rows])
    assert len(kept) == int(rows_of_room)
    assert kept.size <= kept.limit


def test_target_that_has_a_gradient_is_not_kept(audio):
    kept = SpectraCache()
    of(kept, audio.clone().requires_grad_())
    assert len(kept) == 0
