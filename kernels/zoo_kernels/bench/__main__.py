"""The command `python -m zoo_kernels.bench`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from zoo_kernels.bench import measuring, memory, tables
from zoo_kernels.bench.measuring import Row
from zoo_kernels.bench.problems import PROBLEMS

_EPILOG = """\
examples:
  python -m zoo_kernels.bench                             all kernels, all backends that work here
  python -m zoo_kernels.bench --quick                     the same at tiny sizes, in half a minute
  python -m zoo_kernels.bench --kernels cauchy --threads 1 2
  python -m zoo_kernels.bench --csv kernels.csv

What is compared is written first as one would write it: the textbook version is torch over the whole sum at once, in
float32, with autograd. All versions run in turns in one process, so that a busy machine disturbs all of them: trust the
ratios more than the milliseconds. The columns "faster" and "forward / backward" are such ratios; "peak MB" is what the
call adds to the memory at its highest point, its results included; "error" is the largest one against float64, over the
largest value.
"""


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    kernels = [problem.kernel for problem in PROBLEMS]
    parser = argparse.ArgumentParser(
        prog="python -m zoo_kernels.bench",
        description="Time each kernel's backends against its textbook version, with memory and accuracy.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--kernels", nargs="+", choices=kernels, default=kernels, metavar="NAME", help=", ".join(kernels)
    )
    parser.add_argument("--devices", nargs="+", choices=("cpu", "cuda"), metavar="NAME", help="cpu, cuda; those here")
    parser.add_argument("--threads", nargs="+", type=_positive, metavar="N", help="of torch and of compiled loops")
    parser.add_argument("--repeats", type=_positive, default=5, metavar="N", help="runs whose median is shown (5)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that all works, not how fast it is")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write all figures to FILE")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="also write tables between FILE's marker comments"
    )
    return parser


class _Progress:
    """A line on a terminal that tells what happens now; nothing where nobody looks."""

    def __init__(self) -> None:
        self.shown = sys.stderr.isatty()

    def __call__(self, text: str) -> None:
        if self.shown:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = _parser()
    options = parser.parse_args(argv)
    here = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    devices = list(dict.fromkeys(options.devices or here))
    if not set(devices) <= set(here):
        parser.error("there is no CUDA device here: torch.cuda.is_available() is False")
    for path in (options.csv, options.markdown):
        if path is not None and not path.absolute().parent.is_dir():
            parser.error(f"the folder of {path} does not exist")
        if path is not None and path.is_dir():
            parser.error(f"{path} is a folder: name a file")
    if options.markdown is not None:
        try:
            tables.around_figures(options.markdown)
        except (OSError, ValueError) as error:
            parser.error(str(error))
    described = tables.machine()
    print(described)
    before, progress = torch.get_num_threads(), _Progress()
    rows: list[Row] = []
    kernels = list(dict.fromkeys(options.kernels))
    try:
        for device in devices:
            # A GPU does not care for the CPU's threads.
            for threads in dict.fromkeys(options.threads or [before]) if device == "cpu" else [before]:
                peaks = {}
                if device == "cpu":
                    progress("memory")
                    all_versions = [v for k in kernels for v in measuring.versions(k, device, quick=options.quick)]
                    peaks = memory.cpu_peaks_mb(all_versions, threads=threads, quick=options.quick)
                for kernel in kernels:
                    rows += measuring.measure(
                        kernel,
                        device,
                        threads=threads,
                        repeats=options.repeats,
                        quick=options.quick,
                        peaks=peaks,
                        progress=progress,
                    )
        for kernel in kernels:
            rows += measuring.not_measured(kernel, devices, before)
    finally:
        torch.set_num_threads(before)
        progress("")
    print(tables.as_text(rows))
    try:
        if options.csv is not None:
            tables.write_whole(options.csv, tables.as_csv(rows, described))
        if options.markdown is not None:
            before_figures, after_figures = tables.around_figures(options.markdown)
            figures = tables.as_markdown(rows, described)
            tables.write_whole(options.markdown, f"{before_figures}\n\n{figures}\n\n{after_figures}")
    except (OSError, ValueError) as error:
        print(f"python -m zoo_kernels.bench: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        raise SystemExit(130) from None
