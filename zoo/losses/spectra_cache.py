"""Spectra of targets that come again: recordings and a teacher's stored draws are the same in every epoch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.losses.spectral_targets import SpectralTargets, target_spectra

_MOST = 2 << 30  # bytes
_SHARE = 8  # of the machine's memory at most one part in so many


class SpectraCache:
    """Keeps what targets are compared by, in memory, and finds it by the targets' samples.

    Each row is computed by itself: in a batch, vector instructions may end elsewhere in a row, and its last bit then
    depends on the rows beside it. So a run does not depend on what was kept when, and one that was killed and resumed
    ends with the same weights. What comes first stays; when there is no room left, others are computed each time they
    come.

    Args:
        limit: In bytes; by default 2 GiB, and at most an eighth of the machine's memory. A segment of 4 s at 16 kHz
            takes 3 MB.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = min(_MOST, _memory() // _SHARE) if limit is None else limit
        self.size = 0
        self._rows: dict[bytes, tuple[Tensor, ...]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def of(
        self, audio: Tensor, *, fft_sizes: Sequence[int], overlap: float, valid_samples: Tensor | None
    ) -> SpectralTargets:
        """The spectra of a batch of targets.

        Args:
            audio: `[batch, samples]`.
            fft_sizes: As in `target_spectra`.
            overlap: As in `target_spectra`.
            valid_samples: As in `target_spectra`.
        """
        options = (tuple(fft_sizes), overlap)
        if audio.device.type != "cpu" or audio.requires_grad:
            return target_spectra(audio, fft_sizes=fft_sizes, overlap=overlap, valid_samples=valid_samples)
        valid = [None] * len(audio) if valid_samples is None else valid_samples.tolist()
        keys = [_key(row, count, options) for row, count in zip(audio.contiguous(), valid, strict=True)]
        rows = []
        for i, key in enumerate(keys):
            row = self._rows.get(key)
            if row is None:
                some = None if valid_samples is None else valid_samples[[i]]
                made = target_spectra(audio[[i]], fft_sizes=fft_sizes, overlap=overlap, valid_samples=some)
                row = tuple(magnitude[0] for magnitude in made.magnitudes)
                self._keep(key, row)
            rows.append(row)
        magnitudes = tuple(torch.stack(size) for size in zip(*rows, strict=True))
        shape = (audio.shape[0], audio.shape[1])
        return SpectralTargets(magnitudes, options[0], overlap, shape, valid_samples)

    def _keep(self, key: bytes, row: tuple[Tensor, ...]) -> None:
        size = _bytes(row)
        if self.size + size <= self.limit:
            self._rows[key] = row
            self.size += size


def _key(row: Tensor, valid: int | None, options: tuple[tuple[int, ...], float]) -> bytes:
    digest = hashlib.sha1(repr((valid, row.dtype, options)).encode(), usedforsecurity=False)
    digest.update(row.detach().numpy().data)
    return digest.digest()


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on this system
        return _MOST
