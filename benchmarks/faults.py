"""Fetch from a stand-in Hub that goes wrong, many times, and look at what is left behind.

    python benchmarks/faults.py                      # 200 fetches, side by side
    python benchmarks/faults.py --count 20 --seed 7

Each fetch has a Hub, a cache and a store of its own, and runs in a process of its own. One thing goes wrong: a
connection that drops at a random byte, an error of the server, a body of another length or content than was announced,
a size that is a lie, an answer that no Hub gives (a hotel's page, other JSON), one that drips, pages without end or on
another host, a wish to be left alone for an hour, or the process is killed at a random moment. Each fetch must end
within a minute, and nobody but the Hub may be told the login. Afterwards there must be no half model in cache or
store; the next fetch, when nothing goes wrong any more, must work; and what then loads must be what was pushed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

os.environ["HF_HUB_DISABLE_XET"] = "1"  # the stand-in speaks LFS
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "hub"))

from hub_faults import Fault
from hub_server import HubServer

import zoo
from zoo.hub.errand import PATIENCE_SECONDS
from zoo.storage.config import read_config
from zoo.storage.run_files import published_files

MOST_SECONDS = 60.0
NAME = "gru-S-flute"
REPO = "org/gru-S-flute"

_FETCH = f"""
import sys, zoo
from zoo.hub import errand
errand.PATIENCE_SECONDS = float(sys.argv[4])
zoo.fetch({REPO!r}, name={NAME!r}, force=True, endpoint=sys.argv[1], cache_dir=sys.argv[2], token=sys.argv[3])
"""


@dataclass(frozen=True)
class Outcome:
    """What one fetch came to.

    Attributes:
        kind: What went wrong.
        first: How the faulty fetch ended: "worked", "told" (an error with a message), "killed".
        problems: What should not have been; empty when all is well.
        seconds: For the faulty fetch.
    """

    kind: str
    first: str
    problems: list[str]
    seconds: float


def make_model(folder: Path) -> dict[str, bytes]:
    """A small model's public files, as a repo would hold them."""
    zoo.save(zoo.create("gru-S", instrument="flute", hidden_size=24), folder)
    (folder / "README.md").write_text("---\nlibrary_name: ddsp-zoo\n---\n# a model\n")
    return {name: path.read_bytes() for name, path in published_files(folder).items()}


def _drop(chance: random.Random, hub: HubServer, size: int) -> None:
    path = chance.choice(["model.safetensors", "config.json", "tree"])
    at = chance.randrange(-1, size if path == "model.safetensors" else 200)
    # a client that goes on where it was is dropped again, or comes through
    hub.faults.add(Fault("drop", path, at=at, reset=chance.random() < 0.5, times=chance.choice([1, 1, 2, 3])))


def _status(chance: random.Random, hub: HubServer, _: int) -> None:
    path = chance.choice(["/api/models/", "/resolve/", "tree"])
    hub.faults.add(Fault("status", path, status=chance.choice([500, 502, 503]), times=chance.choice([1, 2])))


def _busy(chance: random.Random, hub: HubServer, _: int) -> None:
    hub.faults.add(Fault("status", chance.choice(["/api/models/", "/resolve/"]), status=429, retry_after=1))


def _length(chance: random.Random, hub: HubServer, size: int) -> None:
    kind, count = chance.choice(["short", "long"]), chance.randrange(1, size)
    hub.faults.add(Fault(kind, "model.safetensors", method=chance.choice([None, "GET"]), count=count, times=None))


def _lie(chance: random.Random, hub: HubServer, size: int) -> None:
    where = chance.choice([["tree"], ["head"], ["tree", "head"], ["get"]])
    hub.lie_about_size(REPO, "model.safetensors", chance.randrange(1, 2 * size), where)


def _bytes(chance: random.Random, hub: HubServer, _: int) -> None:
    path = chance.choice(["model.safetensors", "config.json", "README.md"])
    times = chance.choice([1, None])
    hub.faults.add(Fault("wrong_bytes", path, count=chance.choice([1, 8]), seed=chance.randrange(99), times=times))


def _slow(_: random.Random, hub: HubServer, size: int) -> None:
    hub.faults.add(Fault("slow", "/resolve/", method="GET", rate=size / 1.0, times=None))


_PAGE = b"<!doctype html><html><body><h1>Grand Hotel</h1>Your room number, please</body></html>"
_ADDRESSES = ["/api/models/", "tree", "/resolve/", ""]


def _page(chance: random.Random, hub: HubServer, _: int) -> None:
    status = chance.choice([200, 200, 404, 511])
    path = chance.choice(_ADDRESSES)
    hub.faults.add(Fault("instead", path, status=status, body=_PAGE, content_type="text/html", times=None))


def _other_json(chance: random.Random, hub: HubServer, _: int) -> None:
    entry = {"type": "file", "path": "config.json", "oid": "a" * 40, "size": 12}
    entries = [
        {**entry, "size": "12"},
        {**entry, "size": -1},
        {**entry, "size": 1e3},
        {**entry, "oid": 7},
        {**entry, "path": None},
        {**entry, "lfs": []},
        {"type": "file"},
    ]
    listings = [json.dumps([one]).encode() for one in entries]
    body = chance.choice(
        [b"{}", b"null", b"[]", b"7", b'"x"', b"[1]", b"[" * 100_000, b"{", b"\xff\xfe", b"", *listings]
    )
    hub.faults.add(Fault("instead", chance.choice(_ADDRESSES[:2]), body=body, times=None))


def _drip(chance: random.Random, hub: HubServer, _: int) -> None:
    path = chance.choice(["/api/models/", "tree", "config.json", "model.safetensors"])
    if chance.random() < 0.5:
        hub.faults.add(Fault("drip", path, rate=chance.choice([1.0, 20.0]), times=None))
    else:
        hub.faults.add(Fault("slow", path, rate=1.0, times=None))


def _rest(chance: random.Random, hub: HubServer, _: int) -> None:
    asked = chance.choice([3600, 86400, "9" * 12])
    path, status = chance.choice(_ADDRESSES), chance.choice([429, 503])
    hub.faults.add(
        Fault("status", path, status=status, retry_after=asked, times=None, method=chance.choice([None, "GET"]))
    )


def _pages(chance: random.Random, hub: HubServer, _: int) -> None:
    base = f"{hub.endpoint}/api/models/{REPO}/tree/main?recursive=true"
    if chance.random() < 0.5:
        hub.faults.add(Fault("header", "tree", times=None, extra={"Link": f'<{base}>; rel="next"'}))
        return
    for number in range(2000):  # each leads to another one
        link = {"Link": f'<{base}&n={number}>; rel="next"'}
        hub.faults.add(Fault("header", "tree", after=number, extra=link))


def _elsewhere(chance: random.Random, hub: HubServer, _: int) -> None:
    other = hub.endpoint.replace("127.0.0.1", "localhost")  # another host by name, where we can see what it is told
    if chance.random() < 0.5:
        link = {"Link": f'<{other}/api/models/{REPO}/tree/main?page=2>; rel="next"'}
        hub.faults.add(Fault("header", "tree", times=None, extra=link))
    else:
        path = chance.choice(["/api/models/.*/revision", "tree", "/resolve/"])
        target = {"Location": f"{other}/elsewhere"}
        hub.faults.add(Fault("instead", path, status=chance.choice([302, 307]), times=None, extra=target))


def _lasting(chance: random.Random, hub: HubServer, _: int) -> None:
    path = chance.choice(["config.json", "model.safetensors", "README.md"])
    status = chance.choice([400, 403, 404, 410, 451, 500, 503, 507])
    hub.faults.add(
        Fault("status", f"/resolve/.*{path}", status=status, times=None, method=chance.choice([None, "GET"]))
    )


KINDS: dict[str, Callable[[random.Random, HubServer, int], None]] = {
    "connection dropped": _drop,
    "server error": _status,
    "too many requests": _busy,
    "wrong length": _length,
    "wrong size announced": _lie,
    "wrong content": _bytes,
    "process killed": _slow,
    "a hotel's page": _page,
    "other JSON": _other_json,
    "dripping": _drip,
    "asked to rest": _rest,
    "pages without end": _pages,
    "sent elsewhere": _elsewhere,
    "lasting error on a file": _lasting,
}


def try_once(number: int, files: dict[str, bytes], *, seed: int = 0, patience: float = PATIENCE_SECONDS) -> Outcome:
    """One fetch with something wrong, a look at what it left, and one more fetch with nothing wrong.

    Args:
        number: Of this fetch; chooses what goes wrong.
        files: What the repo holds.
        seed: Another number makes other accidents.
        patience: How long a fetch may go without a piece of a file, in seconds.
    """
    chance = random.Random(f"{seed} {number}")
    kind = list(KINDS)[number % len(KINDS)]
    size = len(files["model.safetensors"])
    with HubServer() as hub, tempfile.TemporaryDirectory() as place:
        cache, home = Path(place) / "cache", Path(place) / "home"
        hub.create(REPO, files)
        KINDS[kind](chance, hub, size)
        begin = time.monotonic()
        first, problems = _run(hub, cache, home, chance.uniform(0.2, 2.0) if "killed" in kind else None, patience)
        seconds = time.monotonic() - begin
        if seconds > MOST_SECONDS:
            problems.append(f"it took {seconds:.0f} s")
        problems += _half_models(cache, home, files)
        problems += _told_others(hub)
        hub.faults.clear()
        hub.repos[REPO].lies.clear()
        again, more = _run(hub, cache, home)
        problems += more
        if again != "worked":
            problems.append("the next fetch did not work")
        problems += _half_models(cache, home, files)
        problems += _loaded(home, files) if again == "worked" else []
        problems += hub.crashes
    return Outcome(kind, first, problems, seconds)


def _run(
    hub: HubServer, cache: Path, home: Path, kill_after: float | None = None, patience: float = PATIENCE_SECONDS
) -> tuple[str, list[str]]:
    environment = {**os.environ, "ZOO_HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-c", _FETCH, hub.endpoint, str(cache), hub.token, str(patience)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        _, said = process.communicate(timeout=kill_after or 120)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return ("killed", []) if kill_after else ("hung", ["it hung for 120 s"])
    if process.returncode == 0:
        return "worked", []
    if process.returncode == -signal.SIGKILL:
        return "killed", []
    last = said.strip().splitlines()[-1] if said.strip() else "nothing"
    told = last.startswith("zoo.errors.")
    return "told", [] if told else [f"it ended with {last}"]


def _half_models(cache: Path, home: Path, files: dict[str, bytes]) -> list[str]:
    """What looks like a model there, and is not the one that was pushed."""
    found = []
    for folder in [*cache.glob("models--*/snapshots/*"), *(home / "models").glob("[!.]*")]:
        model = folder / "config.json", folder / "model.safetensors"
        in_store = folder.parent == home / "models"
        if not all(path.exists() for path in model):
            if in_store:
                found.append(f"a half model in the store: {sorted(path.name for path in folder.iterdir())}")
            continue
        names = files if in_store else ("config.json", "model.safetensors")
        wrong = [name for name in names if not (folder / name).is_file() or (folder / name).read_bytes() != files[name]]
        if wrong:
            found.append(f"{'the store' if in_store else 'the cache'} has another {', '.join(wrong)}")
    # a branch's name must not lead to a commit whose files are not there
    for ref in cache.glob("models--*/refs/*"):
        snapshot = ref.parent.parent / "snapshots" / ref.read_text()
        if not (snapshot / "model.safetensors").exists():
            found.append(f"{ref.name} leads to a commit without weights")
    return found


def _told_others(hub: HubServer) -> list[str]:
    """Whether anybody under another name than the Hub's was told the login."""
    own = hub.endpoint.removeprefix("http://")
    told = [r for r in hub.requests if r.headers.get("Host") != own and r.headers.get("Authorization")]
    return [f"{told[0].headers['Host']} was told the login"] if told else []


def _loaded(home: Path, files: dict[str, bytes]) -> list[str]:
    folder = home / "models" / NAME
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != hashlib.sha256(files["model.safetensors"]).hexdigest() or digest != read_config(folder).weights_sha256:
        return ["what is in the store has other weights than were pushed"]
    zoo.load(folder)
    return []


def main() -> int:
    """Run the fetches and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="how many fetches (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="another number makes other accidents")
    parser.add_argument("--jobs", type=int, default=4, help="fetches at the same time (default 4)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = make_model(Path(folder))
    begin = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        outcomes = list(pool.map(lambda number: try_once(number, files, seed=options.seed), range(options.count)))
    print("| what went wrong | fetches | came through | told | killed | problems | median seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for kind in KINDS:
        own = [outcome for outcome in outcomes if outcome.kind == kind]
        if own:
            ends = Counter(outcome.first for outcome in own)
            bad = sum(bool(outcome.problems) for outcome in own)
            middle = sorted(outcome.seconds for outcome in own)[len(own) // 2]
            cells = [len(own), ends["worked"], ends["told"], ends["killed"], bad, f"{middle:.1f}"]
            print(f"| {kind} | " + " | ".join(map(str, cells)) + " |")
    problems = [(number, outcome) for number, outcome in enumerate(outcomes) if outcome.problems]
    print(f"\n{options.count} fetches in {time.monotonic() - begin:.0f} s, {len(problems)} with problems")
    for number, outcome in problems:
        print(json.dumps({"number": number, "kind": outcome.kind, "problems": outcome.problems}))
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
