"""Time the multi-scale spectral distance, value and gradient, against torch.stft with autograd.

    python benchmarks/spectral_loss.py
    python benchmarks/spectral_loss.py --threads 1 --csv > spectral_loss.csv

All versions run in turns in one process, so that a busy machine disturbs all: read the ratios rather than the
milliseconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from zoo import losses


def plain(a: Tensor, b: Tensor) -> Tensor:
    """The textbook version."""
    total = a.new_zeros(())
    for size in losses.FFT_SIZES:
        window = torch.hann_window(size)
        x, y = (
            torch.stft(s, size, size // 4, window=window, normalized=True, return_complex=True).abs() for s in (a, b)
        )
        total = total + (x - y).abs().mean() + (torch.log(x + 1e-7) - torch.log(y + 1e-7)).abs().mean()
    return total


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table, or CSV."""
    parser = argparse.ArgumentParser(description="Time the multi-scale spectral distance against torch.stft.")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--samples", type=int, default=64000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--csv", action="store_true", help="comma-separated values instead of a table")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    a = (0.1 * torch.randn(options.batch, options.samples)).requires_grad_()
    b, c = (0.1 * torch.randn(options.batch, options.samples) for _ in range(2))
    stored = [losses.target_spectra(target) for target in (b, c)]

    def gradient(loss: Tensor) -> Tensor:
        (found,) = torch.autograd.grad(loss, a)
        return found

    # name, what runs, and the row to compare with
    cases: list[tuple[str, Callable[[], object], int]] = [
        ("torch.stft, one target", lambda: gradient(plain(a, b)), 0),
        ("zoo, one target", lambda: gradient(losses.multi_scale_spectral(a, b)), 0),
        ("zoo, one stored target", lambda: gradient(losses.multi_scale_spectral(a, stored[0])), 0),
        ("torch.stft, two targets", lambda: gradient(0.5 * plain(a, b) + 0.5 * plain(a, c)), 3),
        ("zoo, two stored, many", lambda: gradient(losses.multi_scale_spectral_many(a, stored).mean()), 3),
        (
            "zoo, two stored, weighted",
            lambda: gradient(losses.multi_scale_spectral_weighted(a, stored, [0.5, 0.5])[0]),
            3,
        ),
        ("zoo, value alone, stored", lambda: losses.multi_scale_spectral(a.detach(), stored[0]), 0),
    ]
    times: list[list[float]] = [[] for _ in cases]
    for _ in range(options.repeats + 1):
        for i, (_, run, _) in enumerate(cases):
            start = time.perf_counter()
            run()
            times[i].append(1000 * (time.perf_counter() - start))
    medians = [statistics.median(column[1:]) for column in times]
    print("version,ms,ratio" if options.csv else f"{'version':32}{'ms':>10}{'ratio':>10}")
    for (name, _, against), median in zip(cases, medians, strict=True):
        ratio = medians[against] / median
        print(f'"{name}",{median:.2f},{ratio:.2f}' if options.csv else f"{name:32}{median:10.1f}{ratio:10.1f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
