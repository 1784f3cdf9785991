"""Exporting: a model's file for another runtime, played there against the model before it gets its name.

Requirements:

- no file is left that plays something else than the model: each is played in the runtime that it is made for, on
  phrases with voiced, unvoiced, silent and extreme frames, with the same noise;
- what was measured lies beside the file, as JSON (`REPORT`): whoever gets the file knows how exact and how fast it is.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import platform
import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from zoo import registry, resolve
from zoo.cards.metadata import read_metadata
from zoo.cards.safe_yaml import read_card
from zoo.checks.limits import check_types
from zoo.errors import ConfigError, ExportError, listing, near_matches
from zoo.models.model import Model
from zoo.storage.checkpoint import weights_hash
from zoo.storage.files import beside, new_folder, write_atomically
from zoo.storage.run_files import CARD

REPORT = ".export.json"
"""What is added to a file's name for that of its report."""

BLOCKS = (1, 8)
"""Frames per block, of which the time is measured."""

_SECONDS = 6
_PHRASE = 1.5  # seconds
_TIMED_BLOCKS = 200

Curve = NDArray[np.float32]


class Runtime(Protocol):
    """What plays an exported file, frame by frame; `zoo_player.Instrument` is one."""

    @property
    def latency(self) -> int:
        """Samples that the audio is late."""

    def process(self, f0_hz: Curve, loudness_db: Curve, noise: Curve, **inputs: Curve) -> NDArray[np.float32]:
        """Play the next frames: curves `[frames]`, noise `[frames * hop]`; audio `[frames * hop]`.

        `inputs` are what else drives the decoder, by name.
        """

    def finish(self) -> NDArray[np.float32]:
        """What is still to come, `[latency]`, or less where the runtime knows no end; then begin anew."""


class Exporter(ABC):
    """Writes a model as a file for a runtime, and plays it there.

    A child's constructor takes the options that `zoo.export` is given, by keyword; what it cannot do with them it says
    by `ConfigError`.

    Attributes:
        suffixes: Of its files.
        folder: Whether it writes a folder, which is made anew; then there are no suffixes.
        about: What is known of a model beside what it says itself: its `card` and `licence`, where it has them.
    """

    suffixes: ClassVar[tuple[str, ...]]
    folder: ClassVar[bool] = False
    about: Mapping[str, str] = MappingProxyType({})

    @property
    def frames(self) -> int:
        """Its runtime plays blocks of a multiple of so many frames."""
        return 1

    @property
    def largest_difference(self) -> float:
        """From the model's audio, in any sample, at most; infinite where only `least_signal_db` counts."""
        return 1e-5

    @property
    def least_signal_db(self) -> float:
        """Energy of the model's audio over that of the difference, in each phrase at least, in dB."""
        return -math.inf

    @abstractmethod
    def write(self, model: Model, path: Path) -> None:
        """Write the file.

        Args:
            model: In eval mode, on the CPU.
            path: The file, or the empty folder, under a temporary name.

        Raises:
            NotImplementedError: A component of the model has no such form; it says which.
        """

    def companions(self, path: Path) -> Mapping[str, str]:
        """Small texts that lie beside the file, e.g. a host's configuration: by their names.

        Args:
            path: The file that was written, under the name that it gets.
        """
        return {}

    @abstractmethod
    def load(self, path: Path) -> Runtime:
        """The file, ready to be played by what it is made for."""

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Of what wrote and played it, by distribution."""


@dataclass(frozen=True)
class Difference:
    """How far a file's audio is from the model's.

    Attributes:
        largest: In any sample.
        signal_db: Energy of the model's audio over that of the difference, in dB; of the phrase where it is smallest.
    """

    largest: float
    signal_db: float


def export(
    model_or_ref: Model | str | Path,
    exporter: str,
    path: str | Path,
    **options: Any,  # noqa: ANN401 - the exporter's
) -> Path:
    """Write a model as a file for another runtime, once that has played it as the model does.

    Beside the file lies its report, `NAME.export.json`: the largest difference, latency in samples, microseconds per
    block, bytes, hashes and versions.

    Example:
        >>> zoo.export("gru-S-violin", "player", "gru-S-violin.zoo")  # doctest: +SKIP

    Args:
        model_or_ref: A model, or a reference that `zoo.load` takes.
        exporter: Its registered name, e.g. "player".
        path: The file; one that is there is replaced. (Or the folder, for an exporter that makes one.)
        **options: The exporter's own.

    Returns:
        The file.

    Raises:
        ExportError: The file does not play what the model plays, or a component has no such form. No file is left.
        ConfigError: There is no such exporter or option, or the file's name does not end as it must.
        ModelNotFoundError: There is no such model.
    """
    made = create(exporter, options)
    path = Path(path).expanduser()
    if made.folder and path.exists():
        raise ConfigError(f"{str(path)!r} is there already; {exporter!r} makes a new folder: give another name.")
    if not made.folder and path.suffix not in made.suffixes:
        raise ConfigError(f"{str(path)!r}: a file of the exporter {exporter!r} ends in {listing(made.suffixes)}.")
    if not made.folder and path.is_dir():
        raise ConfigError(f"{str(path)!r} is a folder: give the name of a file.")
    model, made.about = _found(model_or_ref)
    if model.training or next(model.parameters()).device.type != "cpu":
        raise ConfigError("A model is exported in eval mode and from the CPU: model.eval().cpu()")
    with (new_folder if made.folder else beside)(path) as temporary:
        try:
            made.write(model, temporary)
        except NotImplementedError as error:
            raise ExportError(f"{model.name} cannot be exported by {exporter!r}: {error}") from error
        runtime = made.load(temporary)
        found = difference(model, runtime, frames=made.frames)
        if not (found.largest <= made.largest_difference and found.signal_db >= made.least_signal_db):
            raise ExportError(
                f"Nothing was written: the file that {exporter!r} made of {model.name} plays something else than the "
                f"model. The largest difference is {found.largest:.2g} (at most {made.largest_difference:g}), the "
                f"model's audio is {found.signal_db:.1f} dB above it (at least {made.least_signal_db:g}). "
                + (f"Try without {listing(options)}." if options else "Please report it, with the model.")
            )
        written = sorted(filter(Path.is_file, temporary.rglob("*"))) if made.folder else [temporary]
        data = b"".join(file.read_bytes() for file in written)
        report = {
            "exporter": exporter,
            "options": options,
            "model": model.name,
            "weights_sha256": weights_hash(model),
            "sample_rate": model.sample_rate,
            "hop": model.hop,
            "latency_samples": runtime.latency,
            "largest_difference": found.largest,
            "signal_to_difference_db": None if math.isinf(found.signal_db) else round(found.signal_db, 2),
            "microseconds_per_block": {
                str(frames): block_time(runtime, model, frames)
                for frames in sorted({made.frames, *(frames for frames in BLOCKS if frames % made.frames == 0)})
            },
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "companions": sorted(companions := made.companions(path)),
            "versions": {"ddsp-zoo": version("ddsp-zoo"), **made.versions()},
            "machine": f"{platform.machine()} {platform.system()}",
        }
    for name, text in companions.items():
        write_atomically(path.with_name(name), text)
    write_atomically(path.with_name(path.name + REPORT), json.dumps(report, indent=2) + "\n")
    return path


def _found(model_or_ref: Model | str | Path) -> tuple[Model, Mapping[str, str]]:
    """The model, and what its card says that it does not say itself."""
    if isinstance(model_or_ref, Model):
        return model_or_ref, {}
    model, found = resolve.load(model_or_ref), resolve.find(model_or_ref)
    if not (found.folder / CARD).is_file():
        return model, {}
    card = read_metadata(read_card(found.folder / CARD), where=CARD)
    known = {"card": found.repo_id or model.name, "licence": card.get("license")}
    return model, {name: value for name, value in known.items() if isinstance(value, str)}


def create(name: str, options: dict[str, Any]) -> Exporter:
    """Make an exporter of options, which are checked against what it takes."""
    kind = registry.exporters.get(name)
    known = [option for option in inspect.signature(kind).parameters if option != "self"]
    if unknown := sorted(set(options) - set(known)):
        raise ConfigError(
            f"The exporter {name!r} has no option {unknown[0]!r}.{near_matches(unknown[0], known)} "
            f"It knows: {listing(known) if known else 'none'}."
        )
    check_types(kind, options, part=f"exporter {name!r}")
    return kind(**options)


def phrases(model: Model, *, seconds: float = _SECONDS) -> tuple[Curve, Curve]:
    """Curves `[frames]` on which a file is tried: glides with vibrato, rests, silence, and frames beyond all bounds.

    A phrase takes 1.5 s; each ends in a rest.
    """
    frames = round(seconds * model.sample_rate / model.hop)
    t = np.arange(frames) * model.hop / model.sample_rate
    rng = np.random.default_rng(0)
    f0_hz = 330 * 2 ** (1.5 * np.sin(2 * np.pi * 0.2 * t) + 0.02 * np.sin(2 * np.pi * 5.5 * t))
    loudness_db = -30 + 15 * np.sin(2 * np.pi * 0.5 * t) + rng.normal(size=frames)
    f0_hz[t % _PHRASE > 1.3] = 0
    loudness_db[t % _PHRASE > 1.35] = -80
    for place, (pitch, level) in enumerate(((4000, 0), (30, -20), (30000, -20), (440, 20), (math.nan, math.nan)), 1):
        extreme = slice(frames * place // 6, frames * place // 6 + 9)
        f0_hz[extreme], loudness_db[extreme] = pitch, level
    return f0_hz.astype(np.float32), loudness_db.astype(np.float32)


@torch.no_grad()
def difference(model: Model, runtime: Runtime, *, seconds: float = _SECONDS, frames: int = 1) -> Difference:
    """How far what a runtime plays is from what the model renders, over `phrases` and as far as the runtime plays them.

    Args:
        model: In eval mode, on the CPU.
        runtime: At its beginning.
        seconds: Of the phrases.
        frames: It plays blocks of a multiple of so many frames.
    """
    f0_hz, loudness_db = (curve[: len(curve) // frames * frames] for curve in phrases(model, seconds=seconds))
    further = _further(model, len(f0_hz))
    noise = np.random.default_rng(1).random(len(f0_hz) * model.hop, np.float32) * 2 - 1
    given = (torch.from_numpy(values)[None] for values in (f0_hz, loudness_db, noise))
    expected = model(*given, **{name: curve[None] for name, curve in further.items()}).audio[0].double().numpy()
    played, at, blocks = [], 0, np.random.default_rng(2)
    while at < len(f0_hz):
        end = at + frames * int(blocks.integers(1, max(2, 64 // frames)))
        part = noise[at * model.hop : end * model.hop]
        some = {name: curve[at:end] for name, curve in further.items()}
        played.append(runtime.process(f0_hz[at:end], loudness_db[at:end], part, **some))
        at = end
    whole = np.concatenate([*played, runtime.finish()]).astype(np.float64)
    audio = whole[runtime.latency :]
    if len(whole) < len(expected) or len(audio) > len(expected) or not np.isfinite(audio).all():
        return Difference(math.inf, -math.inf)
    expected = expected[: len(audio)]
    wrong, begins = audio - expected, np.arange(0, len(audio), round(_PHRASE * model.sample_rate))
    energy, lost = (np.add.reduceat(np.square(values), begins) for values in (expected, wrong))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(lost == 0, math.inf, 10 * np.log10(energy / lost))
    return Difference(float(np.abs(wrong).max(initial=0)), float(ratios.min()))


def block_time(runtime: Runtime, model: Model, frames: int) -> float:
    """The median time of a block of so many frames, back to back, in microseconds."""
    f0_hz, loudness_db = np.full(frames, 330, np.float32), np.full(frames, -20, np.float32)
    noise = np.random.default_rng(1).random(frames * model.hop, np.float32) * 2 - 1
    further = _further(model, frames)
    times = []
    for _ in range(_TIMED_BLOCKS):
        began = time.perf_counter()
        runtime.process(f0_hz, loudness_db, noise, **further)
        times.append(time.perf_counter() - began)
    runtime.finish()
    return round(1e6 * statistics.median(times), 1)


def _further(model: Model, frames: int) -> dict[str, Curve]:
    """Curves for what drives the decoder beside pitch and loudness."""
    rng = np.random.default_rng(3)
    return {name: rng.random(frames, np.float32) for name in model.decoder.further_inputs}
