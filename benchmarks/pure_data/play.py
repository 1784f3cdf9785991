"""A file for nn~ in Pure Data: whether it plays the right pitch there, through the libtorch that nn~ is built with.

    apt install puredata-core puredata-dev
    python benchmarks/pure_data/play.py --torch OTHER/lib/python3.11/site-packages/torch

nn~ itself is in no package registry. `nnhost_tilde.cpp` stands for it: an external that makes the same calls by C++.
The patch plays 440 Hz, and after two seconds sends `set transpose 12`. --torch is the folder of torch 2.5.1.
"""

from __future__ import annotations

import argparse
import math
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

import zoo
from zoo.storage import markdown_table

HERE = Path(__file__).parent
SOUNDS = ((0.8, 440.0), (2.6, 880.0))  # seconds, Hz


def main(arguments: Sequence[str] | None = None) -> None:
    """Build, play, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="gru-S-violin", help="a name (default: gru-S-violin)")
    parser.add_argument("--torch", type=Path, required=True, metavar="FOLDER", help="of torch 2.5.1, with include/")
    chosen = parser.parse_args(arguments)
    rows: list[tuple[str, ...]] = [("host, Hz", "asked, Hz", "played, Hz", "cents off", "peak")]
    with tempfile.TemporaryDirectory(prefix="zoo-pd-") as place:
        folder = Path(place)
        zoo.export(chosen.model, "nn", folder / "violin.ts")
        shutil.copy(HERE / "patch.pd", folder)
        build(chosen.torch, folder / "nnhost~.pd_linux")
        for rate in (44100, 48000):
            command = ["pd", "-batch", "-nogui", "-noaudio", "-r", str(rate), "-open", "patch.pd"]
            subprocess.run(command, cwd=folder, check=True, timeout=120)
            audio = soundfile.read(folder / "out.wav")[0]  # its header says 44.1 kHz, whatever the rate
            for begin_s, near in SOUNDS:
                part = audio[round(begin_s * rate) :][: round(0.9 * rate)]
                found = pitch_hz(part, rate, near)
                cents = 1200 * math.log2(found / near)
                rows.append((f"{rate}", f"{near:g}", f"{found:.3f}", f"{cents:.3f}", f"{np.abs(part).max():.2f}"))
    print(markdown_table(rows))


def build(torch: Path, out: Path) -> None:
    """Compile the external."""
    libraries = [f"-L{torch}/lib", "-ltorch", "-ltorch_cpu", "-lc10", f"-Wl,-rpath,{torch}/lib"]
    includes = [f"-I{torch}/include", f"-I{torch}/include/torch/csrc/api/include", "-I/usr/include/pd"]
    flags = ["-std=c++17", "-O1", "-shared", "-fPIC", "-D_GLIBCXX_USE_CXX11_ABI=0"]  # as torch's own wheel
    subprocess.run(["g++", *flags, *includes, str(HERE / "nnhost_tilde.cpp"), *libraries, "-o", str(out)], check=True)


def pitch_hz(audio: np.ndarray, rate: int, near: float) -> float:
    """The frequency of the highest peak of the spectrum within a semitone."""
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 2**20))
    hz = np.arange(len(spectrum)) * rate / 2**20
    spectrum[(hz < near / 1.06) | (hz > near * 1.06)] = 0
    return float(hz[spectrum.argmax()])


if __name__ == "__main__":
    main()
