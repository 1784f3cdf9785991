"""What `zoo doctor` finds around zoo: folders, pitch trackers, plugins and the Hub."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import HubError, PluginError, ZooError, listing
from zoo.registry import paths

if TYPE_CHECKING:
    from zoo.commands.doctor import Report
    from zoo.hub.client import HubClient

INSTALL_OWN = "from a checkout: pip install -c constraints.txt ./kernels ."

OWN = "ddsp-zoo"
_TONE_HZ = 440.0


def folders(report: Report) -> dict[str, str]:
    """Where models, data, gin files and caches lie."""
    home = paths.zoo_home()
    source = "from $ZOO_HOME" if os.environ.get("ZOO_HOME") else "$ZOO_HOME would move it"
    found = {"ZOO_HOME": f"{home} ({source})"}
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        found["ZOO_HOME"] += ", cannot be written"
        report.problems.append(f"{existing} cannot be written. Type: export ZOO_HOME=FOLDER, with a folder of yours")
    found["models"] = _contents(paths.store_folder(), "model", "config.json")
    found["datasets"] = _contents(paths.data_home(), "dataset", "dataset.json")
    found["teachers' caches"] = _contents(paths.cache_home() / "teachers", "cache", "cache.json")
    for name, places in (("gin files", paths.gin_folders()), ("shipped models", paths.model_card_folders())):
        found[name] = ", ".join(map(str, places)) or "none"
        if not any(paths.origin_of(place) == OWN for place in places):
            report.problems.append(f"The {name} that ship with zoo are missing. Type, {INSTALL_OWN}")
    found["hub cache"] = _hub_cache()
    return {**found, **_caches()}


def _hub_cache() -> str:
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    if not folder.is_dir():
        return f"{folder} (not there yet)"
    count = sum(1 for _ in folder.glob("models--*"))
    return f"{folder} ({count} {'repo' if count == 1 else 'repos'} of models, of zoo or not)"


def _caches() -> dict[str, str]:
    """Where compiled kernels are kept, by those compilers that the kernels' trials have used."""
    found = {}
    if loops := sys.modules.get("zoo_kernels._numba_oscillators"):
        compiled = [function.stats.cache_path for function in vars(loops).values() if hasattr(function, "stats")]
        found["compiled by numba"] = listing({path or "kept in memory only" for path in compiled})
    if keops := sys.modules.get("pykeops"):
        found["compiled by keops"] = str(keops.get_build_folder())
    if triton := sys.modules.get("triton"):
        found["compiled by triton"] = str(triton.knobs.cache.dir)
    return found


def _contents(folder: Path, what: str, marker: str) -> str:
    if not folder.is_dir():
        return f"{folder} (not there yet)"
    count = sum((path / marker).is_file() for path in folder.iterdir())
    return f"{folder} ({count} {what}{'' if count == 1 else 's'})"


def pitch_trackers(report: Report) -> dict[str, str]:
    """Let every pitch tracker listen to a short tone."""
    import torch

    from zoo import registry

    sample_rate, hop = 16000, 256
    tone = 0.5 * torch.sin(2 * torch.pi * _TONE_HZ * torch.arange(16 * hop) / sample_rate)[None]
    found = {}
    for name in registry.pitch:
        if why := report.failures.get(("pitch", name)):  # it may end the process
            found[name] = f"cannot be used: {why}"
            continue
        began = time.perf_counter()
        try:
            track = registry.pitch.get(name)
            f0_hz, _ = track(tone, sample_rate=sample_rate, hop=hop, fmin=50.0, fmax=2000.0, center=True)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a tracker raises is what there is to say
            cause = f"{type(error.__cause__ or error).__name__}: {error.__cause__ or error}"
            found[name] = f"cannot be used: {error}"
            if any(offer.distribution == OWN for offer in registry.pitch.entries()[name]):
                report.add_problem(cause, f"The pitch tracker {name} cannot be used ({cause}). Type, {INSTALL_OWN}")
        else:
            took = time.perf_counter() - began
            found[name] = f"works (a tone of {_TONE_HZ:.0f} Hz is {float(f0_hz.median()):.0f} Hz; {took:.1f} s)"
    return found


def golden_audio(report: Report) -> dict[str, str]:
    """Whether the models that are here make the audio that they made where they were saved."""
    from zoo.models.loading import check_golden
    from zoo.storage.config import read_config
    from zoo.storage.store import shipped_models, stored_models

    found: dict[str, str] = {}
    unchecked: list[str] = []
    broken = report.failures.keys()
    models = {**shipped_models(), **stored_models()}
    for name, folder in models.items():
        try:
            config = read_config(folder)
            if broken & {("decoders", config.decoder.name), ("synths", config.synth.name)}:
                unchecked.append(name)  # its plugin may end this process, or never end
                continue
            difference = check_golden(folder)
        except PluginError:  # what it needs is not installed: the model cannot be played here, and loading says so
            unchecked.append(name)
        except ZooError as error:
            found[name] = str(error)
            report.problems.append(str(error))
        else:
            if difference is None:
                unchecked.append(name)
    found["as saved"] = f"{len(models) - len(found) - len(unchecked)} of {len(models)} models"
    if unchecked:
        found["not checked"] = ", ".join(unchecked)
    return found


def plugins(report: Report) -> dict[str, str]:
    """Whether plugins can be used, each with what it brings or why not."""
    from zoo import registry

    if registry.safe_mode():
        return {registry.SAFE_MODE: "set: plugins are left out"}
    found = {}
    for plugin in report.plugins:
        state = f"ok ({plugin.describe()})" if not plugin.problems else f"broken: {' '.join(plugin.problems)}"
        found[f"{plugin.distribution} {plugin.version}"] = state
        if plugin.problems:
            report.broken_plugins.append(plugin.distribution)
    return found or {"none": "no plugins are installed"}


def hub(_: Report) -> dict[str, str]:
    """Whether the Hub answers, and who asks; that it does not is no fault of this machine's."""
    from huggingface_hub import get_token

    from zoo.hub.client import HubClient

    client = HubClient()
    source = "from $HF_ENDPOINT" if os.environ.get("HF_ENDPOINT") else "HF_ENDPOINT would name another"
    return {
        "endpoint": f"{client.host} ({source})",
        "login": "a token is saved here" if get_token() else "none (hf auth login); public models need none",
        "answer": _answer(client),
    }


def _answer(client: HubClient) -> str:
    from zoo.hub.client import ANSWER_SECONDS, reach

    if client.offline:
        return "not asked: HF_HUB_OFFLINE is set"
    answers: list[str] = []

    def ask() -> None:
        began = time.perf_counter()
        try:
            reach(client)
        except HubError as error:
            answers.append(str(error))
        except Exception as error:  # noqa: BLE001 - an address that is none, for one
            answers.append(f"it cannot be asked ({type(error).__name__}: {error})")
        else:
            answers.append(f"yes, within {time.perf_counter() - began:.1f} s")

    # A resolver of names may take its own time, which no timeout of a request limits.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(ANSWER_SECONDS)
    return answers[0] if answers else f"none within {ANSWER_SECONDS:.0f} s; look at the network, or at HF_ENDPOINT"
