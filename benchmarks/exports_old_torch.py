"""Whether files for nn~ play in torch 2.5.1, which nn~ is built with, as they do in the torch that wrote them.

    python benchmarks/exports_old_torch.py
    python benchmarks/exports_old_torch.py gru-S-violin --python OTHER/bin/python

Each file is played as nn~ plays it, in blocks of 2,048 and 8,192 samples at 44.1 and 48 kHz. Without --python, an
environment with torch 2.5.1 is made and removed again (5 GB). All operators that the files use are looked up there, and
written to `tests/export/torch_2_5_operators.txt`, beyond which the exporter's test allows none.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import textwrap
import venv
from collections.abc import Sequence
from pathlib import Path

from exports import OLD_TORCH, found, models

from zoo.export.nn import NNExporter, operators
from zoo.storage import markdown_table
from zoo.storage.files import write_atomically

OPERATORS = Path("tests/export/torch_2_5_operators.txt")
RATES, BLOCKS, SECONDS = (44100, 48000), (2048, 8192), 6.0

# What both torches run: it takes files, rates, blocks and seconds as JSON, and gives for each the time of a block in
# microseconds and a file of samples. The operators that it is asked for and does not have come first.
PLAY = """
import json, statistics, sys, time, warnings
import torch
warnings.simplefilter("ignore")
asked = json.load(sys.stdin)
torch.set_num_threads(1)
known = {str(schema) for schema in torch._C._jit_get_all_schemas()}
print(json.dumps({"torch": torch.__version__, "lacks": [name for name in asked["operators"] if name not in known]}))
for file in asked["files"]:
    instrument = torch.jit.load(file)
    channels = int(instrument.forward_params[0])
    for rate in asked["rates"]:
        samples = int(asked["seconds"] * rate) // 8192 * 8192
        time_s = torch.arange(samples, dtype=torch.float64) / rate
        f0_hz = 330 * 2 ** (1.5 * torch.sin(6.283185307 * 0.2 * time_s)) * ((time_s % 1.5) < 1.3)
        loudness_db = torch.where((time_s % 1.5) < 1.35, -30 + 15 * torch.sin(6.283185307 * 0.5 * time_s), -80.0)
        signals = torch.stack([f0_hz, loudness_db, *[torch.full_like(f0_hz, 0.5)] * (channels - 2)]).float()[None]
        for block in asked["blocks"]:
            assert instrument.set_sample_rate(rate) == 0
            torch.manual_seed(0)
            parts, times = [], []
            with torch.inference_mode():
                for some in signals.split(block, 2):
                    began = time.perf_counter()
                    parts.append(instrument(some))
                    times.append(time.perf_counter() - began)
            made = f"{file}.{rate}.{block}.{asked['name']}"
            torch.save(torch.cat(parts, 2), made)
            print(json.dumps({"made": made, "us": round(1e6 * statistics.median(times))}), flush=True)
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Export, play in both, compare, and write the page's part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("models", nargs="*", help="names; all that are trained, and each S, by default")
    parser.add_argument("--python", help="of an environment with torch 2.5.1 and numpy; made anew by default")
    parser.add_argument("--out", type=Path, default=Path("docs/results/exports.md"), help="the page to add to")
    chosen = parser.parse_args(arguments)
    names = chosen.models or models()
    command = shlex.join(["python", "benchmarks/exports_old_torch.py", *chosen.models])
    with tempfile.TemporaryDirectory(prefix="zoo-old-torch-") as place:
        files = {name: str(Path(place) / f"{name}.ts") for name in names}
        needed: set[str] = set()
        for name, file in files.items():
            NNExporter().write(found(name), Path(file))
            needed |= operators(file)
        asked = {"files": list(files.values()), "operators": sorted(needed), "rates": RATES, "blocks": BLOCKS}
        then, *before = play(chosen.python or environment(Path(place)), asked | {"seconds": SECONDS, "name": "old"})
        now, *after = play(sys.executable, asked | {"seconds": SECONDS, "name": "new"})
        if then["lacks"]:
            raise SystemExit(f"torch {then['torch']} lacks {then['lacks']}")
        rows = [("model", "largest difference", "block of 2,048, us, 2.5.1", "now", "block of 8,192, us, 2.5.1", "now")]
        for name, file in files.items():
            mine = [(a, b) for a, b in zip(before, after, strict=True) if a["made"].startswith(f"{file}.")]
            far = max(difference(a["made"], b["made"]) for a, b in mine)
            times = {tuple(a["made"].split(".")[-3:-1]): (str(a["us"]), str(b["us"])) for a, b in mine}
            rows.append((name, f"{far:.1e}", *times["48000", "2048"], *times["48000", "8192"]))
            print(*rows[-1], flush=True)
    OPERATORS.write_text("\n".join(asked["operators"]) + "\n")
    head, _, rest = chosen.out.read_text().partition(OLD_TORCH)
    _, begin, others = rest.partition("\n## ")
    made = section(rows, command, str(then["torch"]), str(now["torch"]))
    write_atomically(chosen.out, f"{head.rstrip()}\n\n{made}{begin}{others}")


def environment(place: Path) -> str:
    """Make one with torch 2.5.1; its Python."""
    venv.create(place / "old", with_pip=True)
    python = str(place / "old" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "torch==2.5.1", "numpy"], check=True)
    return python


def play(python: str, asked: dict[str, object]) -> list[dict[str, str]]:
    """What `PLAY` prints, run by some Python."""
    done = subprocess.run([python, "-c", PLAY], input=json.dumps(asked), stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def difference(one: str, other: str) -> float:
    """The largest between two files of samples."""
    import torch

    first, second = torch.load(one), torch.load(other)
    if first.shape != second.shape or not first.isfinite().all() or first.abs().max() == 0:
        raise SystemExit(f"{one} is not what {other} is")
    return float((first - second).abs().max())


def section(rows: Sequence[tuple[str, ...]], command: str, then: str, now: str) -> str:
    """The page's part."""
    about = (
        f"nn~ is built with torch 2.5.1. `{command}` wrote the files with torch {now}, and played each in torch {then} "
        f"and in {now}: {SECONDS:g} s of glides and rests in blocks of 2,048 and 8,192 samples, at 44.1 and 48 kHz, "
        "called as nn~ calls it, with the same seed for the noise. The largest difference is over all four; times are "
        "medians of a block at 48 kHz, on one thread. All operators of the files are in torch 2.5.1."
    )
    text = textwrap.fill(about, 120, break_on_hyphens=False, break_long_words=False)
    return f"{OLD_TORCH}\n\n{text}\n\n{markdown_table(rows)}\n"


if __name__ == "__main__":
    main()
