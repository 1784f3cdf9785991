"""The page of `zoo web`, measured: following, dropouts, time until the first sound, size and cost.

    python benchmarks/web.py RECORDING... --models gru-S-violin gru-S-flute runs/wavetable

The recordings, one after the other, are what Chromium's fake microphone plays, over and over. The output is what the
page's own Record button gives: nothing of it is added up from constants. Chromium, its driver and node must be there.
As root it gives Chromium's audio threads the real-time priority that a desktop's rtkit would; a container has none.

- cents: between the pitch of the output and that of the recordings, whole octaves left out, where both have a pitch
  for 5 frames (YIN, offline, at 16 kHz): the median, and how many frames are within 50;
- dB: between their A-weighted loudness where the recordings are over -60 dB: the median, the mean difference left out;
- dropouts: gaps in the worklet's `currentFrame`, and underruns in `AudioContext.playbackStats`;
- thread: processor time of the worklet's thread, all that Chromium does in it included, of a core; ticks: what the
  worklet's own clock says, summed, which is wrong where Chromium wakes in step with that clock of milliseconds; trial:
  what the page measured when the instrument was chosen, with a better clock;
- per quantum: the worklet's own code in node, 128 samples at 48 kHz, of the same recordings; of a core: the processor
  time that node used for all of it, its compiler's included.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import functools
import gzip
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from selenium import webdriver

from zoo.commands.web import _Handler, size_of
from zoo.export.web import INDEX, write_site
from zoo.features import track_pitch
from zoo.features.loudness import a_weighted

Floats = NDArray[np.float64]
RATE, FEATURE_RATE, HOP = 48000, 16000, 64
QUANTUM = 128 / RATE
WORKLET = Path(__file__).parents[1] / "tests/export/web/worklet_run.mjs"
FIRST_SOUND = """
const done = arguments[0], times = {};
(async () => {
  while (!document.documentElement.dataset.ready) await new Promise(requestAnimationFrame);
  times.ready = performance.now();
  document.getElementById("melody").click();
  while (!((window.zoo.page.report?.outputPeak ?? 0) > 0.003)) await new Promise((resolve) => setTimeout(resolve, 2));
  times.sound = performance.now();
  document.getElementById("melody").click();
  done(times);
})();
"""
RECORDED = """
const done = arguments[0];
document.getElementById("record").click();
const wait = setInterval(async () => {
  const link = document.querySelector("#results a");
  if (!link) return;
  clearInterval(wait);
  const bytes = new Uint8Array(await (await fetch(link.href)).arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  document.querySelector("#results button").click();
  done(btoa(text));
}, 50);
"""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The page, at an address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@contextmanager
def browser(voice: Path, folder: Path) -> Iterator[webdriver.Chrome]:
    """Chromium, whose microphone plays a file."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for flag in (
        *(
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--mute-audio",
            "--no-first-run",
        ),
        *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
        *(f"--use-file-for-fake-audio-capture={voice}", "--autoplay-policy=no-user-gesture-required"),
        f"--user-data-dir={folder / 'profile'}",
    ):
        options.add_argument(flag)
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))) as driver:
        driver.set_script_timeout(120)
        yield driver


def audio_threads() -> dict[str, list[Path]]:
    """The audio threads of the browsers that this process has started, by name: their folders under /proc."""
    parents, ours = {}, {str(os.getpid())}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[status.parent.name] = status.read_text().rpartition(")")[2].split()[1]
    for _ in parents:
        ours |= {child for child, parent in parents.items() if parent in ours}
    found: dict[str, list[Path]] = {}
    for name in (name for process in ours for name in Path("/proc").glob(f"{process}/task/*/comm")):
        with contextlib.suppress(OSError):
            if "Audio" in (called := name.read_text().strip()) and "Pool" not in called:
                found.setdefault(called, []).append(name.parent)
    return found


def give_priority() -> int:
    """Give the audio threads real-time priority, as rtkit does on a desktop; how many got it."""
    threads = [thread for same in audio_threads().values() for thread in same]
    for thread in threads:
        os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, os.sched_param(10))
    return len(threads)


def worklet_seconds() -> float:
    """What the worklets' threads have used of a core until now."""
    threads = audio_threads().get("Realtime AudioW", [])  # the kernel keeps fifteen letters
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def features(audio: Floats, rate: int) -> tuple[Floats, Floats]:
    """Pitch (0 where unvoiced) and loudness, frame by frame."""
    samples = torch.tensor(soxr.resample(audio, rate, FEATURE_RATE), dtype=torch.float32)[None]
    how: dict[str, Any] = {"sample_rate": FEATURE_RATE, "hop": HOP, "center": True}
    f0_hz, sure = track_pitch(samples, tracker="yin", fmin=70.0, fmax=1600.0, **how)
    return torch.where(sure > 0.85, f0_hz, 0.0)[0].double().numpy(), a_weighted(samples, **how)[0].double().numpy()


def following(output: Floats, rate: int, recording: Floats) -> dict[str, float]:
    """How an output follows a recording that is played over and over."""
    hz, db = features(output, rate)
    their_hz, their_db = features(recording, RATE)
    turns = -(-len(db) // len(their_db)) + 1
    their_hz, their_db = np.tile(their_hz, turns), np.tile(their_db, turns)
    loud = np.maximum(db, -60)
    begins = range(len(their_db) - len(db))
    fits = [float(np.corrcoef(loud, np.maximum(their_db[begin : begin + len(db)], -60))[0, 1]) for begin in begins]
    begin = int(np.argmax(fits))
    their_hz, their_db = their_hz[begin : begin + len(db)], their_db[begin : begin + len(db)]
    steady = np.convolve((hz > 0) & (their_hz > 0), np.ones(5), "same") == 5
    cents = 1200 * np.log2(hz[steady] / their_hz[steady])
    apart = np.abs((cents + 600) % 1200 - 600)
    sounds = their_db > -60
    level = db[sounds] - their_db[sounds]
    return {
        "cents": float(np.median(apart)),
        "within": 100 * float((apart < 50).mean()),
        "db": float(np.median(np.abs(level - level.mean()))),
        "voiced": 100 * float((hz[their_hz > 0] > 0).mean()),
    }


def played(driver: webdriver.Chrome, name: str, seconds: float, folder: Path) -> tuple[Floats, int, dict[str, Any]]:
    """Play the microphone through an instrument: the output, its rate, and what the page says of the time."""
    driver.execute_script(f"document.querySelector('input[value=\"{name}\"]').click()")
    wait(driver, f"zoo.page.report?.name === '{name}'")
    time.sleep(8)  # the fit learns the notes
    state = "({...zoo.page.report, underruns: zoo.sound.context.playbackStats?.underrunEvents ?? null})"
    before = driver.execute_script(f"return {state}")
    driver.execute_script("document.getElementById('record').click()")
    loads, began, used = [], time.monotonic(), worklet_seconds()
    while time.monotonic() < began + seconds:
        time.sleep(1)
        loads.append(float(driver.execute_script("return zoo.page.report.load")))
    thread = (worklet_seconds() - used) / (time.monotonic() - began)
    after = driver.execute_script(f"return {state}")
    (folder / "out.wav").write_bytes(base64.b64decode(driver.execute_async_script(RECORDED)))
    audio, rate = soundfile.read(folder / "out.wav")
    told = {
        "thread": 100 * thread,
        "ticks": 100 * float(np.mean(loads)),
        "trial": 100 * float(driver.execute_script("return zoo.page.chosen.cost")),
        "gaps": after["gaps"] - before["gaps"],
        "lost": after["lost"] - before["lost"],
        "underruns": "no such count" if after["underruns"] is None else after["underruns"] - before["underruns"],
    }
    return audio, rate, told


def wait(driver: webdriver.Chrome, condition: str) -> None:
    """Until something is true in the page."""
    for _ in range(1000):
        if driver.execute_script(f"return {condition}"):
            return
        time.sleep(0.02)
    raise TimeoutError(condition)


def zipped(file: Path) -> int:
    """Its bytes, compressed as a web host does it."""
    return len(gzip.compress(file.read_bytes(), 9))


def per_quantum(site: Path, card: dict[str, Any], recording: Floats, folder: Path) -> str:
    """What the worklet's code takes in node."""
    page = folder / "node"
    shutil.copytree(site, page, dirs_exist_ok=True)
    (page / "package.json").write_text('{"type": "module"}')
    (folder / "in.f32").write_bytes(recording[: 20 * RATE].astype(np.float32).tobytes())
    job = {"instrument": str(site / card["file"]), "input": str(folder / "in.f32"), "output": str(folder / "out.f32")}
    (folder / "job.json").write_text(json.dumps({**job, "sampleRate": RATE, "block": 128, "lowestHz": 80}))
    done = subprocess.run(["node", WORKLET, page, folder / "job.json"], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    times = np.array(said["times"]) / 1e6
    cpu = 100 * said["cpu"] / 1e6 / (len(times) * QUANTUM)
    times = times[len(times) // 10 :]  # the compiler is still busy in the first
    under = 100 * float((times < QUANTUM / 2).mean())
    middle, slow = np.median(times), np.percentile(times, 99)
    return f"{1e6 * middle:.0f} | {1e6 * slow:.0f} | {under:.2f} | {cpu:.1f}"


def in_browser(site: Path, names: list[str], recording: Floats, seconds: float, folder: Path) -> None:
    """Print what Chromium makes of the page."""
    with serving(site) as address, browser(folder / "voice.wav", folder) as driver:
        version = driver.capabilities["browserVersion"]
        print(f"{size_of(site)}; Chromium {version}; {len(recording) / RATE:.0f} s of recordings\n")
        for which in ("first", "again"):
            driver.get(address)
            times = driver.execute_async_script(FIRST_SOUND)
            print(f"{which}: ready {times['ready']:.0f} ms after opening, first sound {times['sound']:.0f} ms")
        driver.execute_script("document.getElementById('microphone').click()")
        wait(driver, "zoo.page.report?.inputPeak > 0.01")
        print(f"\n{give_priority()} audio threads have real-time priority")
        columns = "instrument | cents | within 50, % | dB | thread, % | ticks, % | trial, % | gaps | lost | underruns"
        print(f"\n| {columns} |\n|{'---|' * (columns.count('|') + 1)}")
        for name in names:
            audio, rate, told = played(driver, name, seconds, folder)
            how = following(audio, rate, recording)
            print(
                f"| {name} | {how['cents']:.1f} | {how['within']:.1f} | {how['db']:.1f} | {told['thread']:.1f} | "
                f"{told['ticks']:.1f} | {told['trial']:.1f} | {told['gaps']} | {told['lost']} | {told['underruns']} |",
                flush=True,
            )
        latency = driver.execute_script("return document.getElementById('latency').innerText")
        print("\n" + latency.replace("\n", "; "))


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--models", nargs="+", default=["gru-S-violin"])
    parser.add_argument("--seconds", type=float, default=60.0, help="of each instrument in the browser")
    parser.add_argument("--only-node", action="store_true", help="leave the browser out")
    parser.add_argument("--weights", default="float16")
    options = parser.parse_args()
    pieces = []
    for file in options.recordings:
        audio, rate = soundfile.read(file, dtype="float64")
        audio = soxr.resample(audio if audio.ndim == 1 else audio.mean(axis=1), rate, RATE)
        pieces += [audio * 0.4 / np.abs(audio).max(), np.zeros(RATE // 4)]
    recording = np.concatenate(pieces)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        soundfile.write(folder / "voice.wav", recording, RATE, subtype="PCM_16")
        site = write_site(options.models, folder / "site", weights=options.weights)
        cards = json.loads((site / INDEX).read_text())["instruments"]
        if not options.only_node:
            in_browser(site, [card["name"] for card in cards], recording, options.seconds, folder)
        page = [file for file in sorted(site.iterdir()) if file.is_file() and file.name != INDEX]
        print("\n| file | bytes | gzipped |\n|---|---|---|")
        for file in [*page, site / INDEX, *(site / card["file"] for card in cards)]:
            print(f"| {file.name} | {file.stat().st_size:,} | {zipped(file):,} |")
        print(f"| page, script and wasm | | {sum(map(zipped, page)):,} |")
        print(
            "\n| instrument | median, us | 99 %, us | under half a quantum, % | of a core, % |\n|---|---|---|---|---|"
        )
        for card in cards:
            print(f"| {card['name']} | {per_quantum(site, card, recording, folder)} |", flush=True)


if __name__ == "__main__":
    main()
