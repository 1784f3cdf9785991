"""One recording, analysed: what of it is kept, with its features, as one work file.

Requirements: a recording is analysed once, as a whole; the result is a pure function of the recording and the
settings; it is kept in a file named after both, so that an interrupted preparation goes on where it was.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from zoo.checks.options import number_fault, refuse, torch_seed_fault, type_fault, whole_fault
from zoo.datasets.preparation.cutting import Span, cut, stretches_of_sound
from zoo.datasets.preparation.noise import Noise, estimate_noise, highest_hz, snr_db
from zoo.datasets.recordings import Recording, blaming, known_f0, read_sound
from zoo.errors import ConfigError, DatasetError
from zoo.features.frontend import SILENT_PEAK, Features, FeatureSettings, extract_features, normalize
from zoo.features.pitch import default_thresholds, track_pitch
from zoo.storage.files import write_atomically

# Part of every work file's name: another number where the same settings give other results than before.
_ANALYSIS_VERSION = 5
_MOST_RATE = 1_000_000
_NO_RECORDING = "cannot be read as a recording"
_MOST_SECONDS = 86400.0
TENSORS = ("audio", "f0_hz", "loudness_db", "periodicity")
_OTHER_FEATURES = ("f0", "loudness", "noise", "index", "valid_frames")
_INPUT_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Preparation:
    """What to make of recordings; lengths and thresholds are the thesis's by default, but for `min_seconds` (there 3).

    Attributes:
        sample_rate: In Hz.
        hop: Samples per frame.
        segment_seconds: Length of a segment; a whole number of frames.
        min_seconds: Shortest stretch of sound that is kept.
        silence_db: How far under a recording's loudest moment silence begins.
        min_confidence: Segments whose mean confidence is under this are dropped; the tracker's own where None.
        features: How features are measured.
        whole: Keep each recording as one item, nothing cut or dropped, all in the split "test".
        split_seed: Another seed gives other splits.
        device: Where networks run: "cpu" or "cuda".
        min_snr: Segments whose level is less than this many dB over the recording's noise floor are dropped; none where
            None, or where the floor cannot be told.
    """

    sample_rate: int = 16000
    hop: int = 64
    segment_seconds: float = 4.0
    min_seconds: float = 1.0
    silence_db: float = 40.0
    min_confidence: float | None = None
    features: FeatureSettings = dataclasses.field(default_factory=FeatureSettings)
    whole: bool = False
    split_seed: int = 0
    device: str = "cpu"
    min_snr: float | None = None

    def __post_init__(self) -> None:
        refuse(
            (
                whole_fault("sample_rate", self.sample_rate, least=1, most=_MOST_RATE),
                whole_fault("hop", self.hop, least=0, most=_MOST_RATE),
                number_fault("segment_seconds", self.segment_seconds, most=_MOST_SECONDS),
                number_fault("min_seconds", self.min_seconds, most=_MOST_SECONDS),
                number_fault("silence_db", self.silence_db),
                None if self.min_confidence is None else number_fault("min_confidence", self.min_confidence),
                None if self.min_snr is None else number_fault("min_snr", self.min_snr),
                type_fault("whole", self.whole, bool, "True or False"),
                torch_seed_fault("split_seed", self.split_seed),
            )
        )
        if self.sample_rate < 1000 or self.hop < 1:
            raise ConfigError(
                f"The sample rate must be 1000 Hz or more and the hop 1 or more; got {self.sample_rate}, {self.hop}."
            )
        if not self.segment_seconds > 0 or not self.min_seconds > 0 or not self.silence_db > 0:
            raise ConfigError("Segment length, shortest length and silence threshold must be above 0.")
        exact = self.segment_seconds * self.sample_rate / self.hop
        if abs(exact - round(exact)) > 1e-6 or round(exact) < 1:
            below = max(1, int(exact))
            near = [f"{frames * self.hop / self.sample_rate:.6g}" for frames in (below, below + 1)]
            raise ConfigError(
                f"A segment of {self.segment_seconds:g} s is {exact:g} frames of {self.hop} samples at "
                f"{self.sample_rate} Hz; it must be a whole number. Nearest: --segment-seconds {' or '.join(near)}."
            )
        if self.min_seconds > self.segment_seconds:
            raise ConfigError(
                f"--min-seconds {self.min_seconds:g} is longer than a segment ({self.segment_seconds:g} s): "
                "nothing could be kept. Lower it, or use longer segments."
            )

    @property
    def segment_frames(self) -> int:
        """Frames of a whole segment."""
        return round(self.segment_seconds * self.sample_rate / self.hop)

    @property
    def min_frames(self) -> int:
        """Frames of the shortest segment."""
        return max(1, round(self.min_seconds * self.sample_rate / self.hop))

    def resolved(self) -> Preparation:
        """Fill in what is the tracker's to say, so that the settings mean the same whatever its defaults become."""
        _, confidence = default_thresholds(self.features.tracker, self.features.tracker_options)
        return dataclasses.replace(
            self,
            min_confidence=confidence if self.min_confidence is None else self.min_confidence,
            features=dataclasses.replace(self.features, voicing_threshold=self.features.resolved_threshold()),
        )

    def to_dict(self) -> dict[str, Any]:
        """Give what decides on the result, as plain values."""
        values = {**dataclasses.asdict(self), "features": self.features.to_dict()}
        del values["device"]
        return values


@dataclass(frozen=True)
class Part:
    """A segment that is kept: where it is, and the tracker's mean confidence in it."""

    start: int
    frames: int
    periodicity: float


@dataclass(frozen=True)
class Analysis:
    """What came of one recording.

    Attributes:
        seconds: Its length; 0 where it could not be read.
        parts: What is kept, in order.
        dropped: What is not; a recording of which nothing could be used has its reason here, with all its frames.
        noise: The recording's noise.
        notes: What the user should know of the recording, each a clause: a cut file, a channel left out.
        content: A hash of what is kept, samples and features: a recording in another format has the same.
    """

    seconds: float
    parts: list[Part]
    dropped: list[Span]
    noise: Noise = dataclasses.field(default_factory=Noise)
    notes: tuple[str, ...] = ()
    content: str = ""


def work_name(digest: str, preparation: Preparation) -> str:
    """Name the work file of a recording under these settings."""
    settings = preparation.to_dict()
    del settings["split_seed"]
    key = json.dumps([_ANALYSIS_VERSION, digest, settings], sort_keys=True)
    return f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.safetensors"


def analyse_to_file(recording: Recording, preparation: Preparation, path: Path) -> None:
    """Analyse a recording and write what came of it; a file appears only once it is complete.

    Raises:
        ConfigError: The settings do not fit each other.
        PluginError: What the tracker needs is not installed.
        OSError: The file cannot be written.
    """
    analysis, tensors = analyse(recording, preparation)
    write_atomically(path, save(tensors, metadata={"analysis": json.dumps(dataclasses.asdict(analysis))}))


def read_analysis(path: Path) -> Analysis | None:
    """Read what `analyse_to_file` wrote, without its tensors; None where there is no such file, or it is damaged."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            values = json.loads(file.metadata()["analysis"])
        return Analysis(
            seconds=float(values["seconds"]),
            parts=[Part(**part) for part in values["parts"]],
            dropped=[Span(**span) for span in values["dropped"]],
            noise=Noise(**values["noise"]),
            notes=tuple(str(note) for note in values["notes"]),
            content=str(values["content"]),
        )
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None


def analyse(recording: Recording, preparation: Preparation) -> tuple[Analysis, dict[str, Tensor]]:
    """Analyse one recording: find its sound, measure its features, keep what can be trained on.

    Args:
        recording: What to load.
        preparation: The settings, resolved.

    Returns:
        The analysis, and the tensors of the parts laid end to end: `audio` `[frames * hop]`, `f0_hz`, `loudness_db`,
        `periodicity` and the recording's further inputs `[frames]`.
    """
    try:
        audio, notes = read_sound(recording, preparation.sample_rate)
    except DatasetError as error:
        return _nothing(0.0, 0, _reason(error))
    if (highest := highest_hz(audio, sample_rate=preparation.sample_rate)) is not None:
        notes = (
            *notes,
            f"nothing sounds over {highest / 1000:.0f} kHz. Train with --set reconstruction.floor=3e-4 and --set "
            "output_audio.floor=3e-4 (docs/distillation.md), or prepare with a lower --sample-rate",
        )
    analysis, tensors = _analyse_audio(recording, audio, preparation)
    return dataclasses.replace(analysis, notes=notes, content=_hash(tensors)), tensors


def _hash(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].numpy().data)
    return digest.hexdigest()


def _reason(error: DatasetError) -> str:
    # The first sentence; of "cannot be read as a recording. It is a pipe, ..." the second one is the reason.
    sentences = str(error).split(". ")
    return (sentences[1] if sentences[0].endswith(_NO_RECORDING) and len(sentences) > 1 else sentences[0]).rstrip(".")


def _analyse_audio(recording: Recording, audio: Tensor, preparation: Preparation) -> tuple[Analysis, dict[str, Tensor]]:
    rate, hop = preparation.sample_rate, preparation.hop
    seconds, frames = len(audio) / rate, len(audio) // hop
    if preparation.whole:
        if frames == 0:
            return _nothing(seconds, 0, f"shorter than one frame ({len(audio)} samples)")
        features = _measure(recording, audio, preparation)
        whole = [Part(0, frames, _mean(features.periodicity))]
        inputs = _known_inputs(recording, frames, preparation)
        return Analysis(seconds, whole, [], _noise(audio, features, preparation)), _tensors(
            features, inputs, whole, hop
        )
    if frames < preparation.min_frames:
        return _nothing(
            seconds, frames, f"too short: {seconds:.2f} s, and --min-seconds is {preparation.min_seconds:g}"
        )
    if float(audio.abs().max()) < SILENT_PEAK:
        return _nothing(seconds, frames, "silent")
    spans, dropped = _cut(normalize(audio, "peak")[0], preparation)
    if not spans:
        return Analysis(seconds, [], dropped), _no_tensors()
    features = _measure(recording, audio, preparation)
    noise = _noise(audio, features, preparation)
    parts = []
    for span in spans:
        periodicity = _mean(features.periodicity[span.start : span.start + span.frames])
        sound = audio[span.start * hop : (span.start + span.frames) * hop]
        if _too_noisy(sound, noise, preparation.min_snr):
            dropped.append(Span(span.start, span.frames, f"noisy: under {preparation.min_snr:g} dB over the noise"))
        elif preparation.min_confidence is not None and periodicity < preparation.min_confidence:
            reason = f"pitch unclear: mean confidence under {preparation.min_confidence:g}"
            dropped.append(Span(span.start, span.frames, reason))
        else:
            parts.append(Part(span.start, span.frames, periodicity))
    dropped.sort(key=lambda span: span.start)
    inputs = _known_inputs(recording, frames, preparation)
    return Analysis(seconds, parts, dropped, noise), _tensors(features, inputs, parts, hop)


def _cut(audio: Tensor, preparation: Preparation) -> tuple[list[Span], list[Span]]:
    spans: list[Span] = []
    dropped: list[Span] = []
    end = 0
    for stretch in stretches_of_sound(audio, hop=preparation.hop, silence_db=preparation.silence_db):
        if stretch.start > end:
            dropped.append(Span(end, stretch.start - end, "silence"))
        kept, left = cut(stretch, segment_frames=preparation.segment_frames, min_frames=preparation.min_frames)
        spans += kept
        dropped += left
        end = stretch.start + stretch.frames
    if end < (frames := len(audio) // preparation.hop):
        dropped.append(Span(end, frames - end, "silence"))
    return spans, dropped


def _measure(recording: Recording, audio: Tensor, preparation: Preparation) -> Features:
    return extract_features(
        audio.to(preparation.device),
        sample_rate=preparation.sample_rate,
        hop=preparation.hop,
        settings=preparation.features,
        f0_hz=known_f0(recording, preparation.sample_rate, preparation.hop),
    )


def _known_inputs(recording: Recording, frames: int, preparation: Preparation) -> dict[str, Tensor]:
    with blaming(recording, "known_inputs"):
        inputs = recording.known_inputs(preparation.sample_rate, preparation.hop)
        for name, values in inputs.items():
            if not _INPUT_NAME.fullmatch(name) or name in (*TENSORS, *_OTHER_FEATURES):
                raise ConfigError(f"{recording.id}: an input cannot be named {name!r}. Use a word such as velocity.")
            if values.shape != (frames,) or not bool(torch.isfinite(values).all()):
                raise ConfigError(
                    f"{recording.id}: the input {name} must be [frames] = [{frames}], finite; "
                    f"found {list(values.shape)}."
                )
        return inputs


def _noise(audio: Tensor, features: Features, preparation: Preparation) -> Noise:
    return estimate_noise(audio, features.f0_hz, sample_rate=preparation.sample_rate, hop=preparation.hop)


def _too_noisy(sound: Tensor, noise: Noise, min_snr: float | None) -> bool:
    if min_snr is None or noise.floor_db is None:
        return False
    return snr_db(float(sound.double().square().mean()), 10.0 ** (noise.floor_db / 10.0)) < min_snr


def _tensors(features: Features, inputs: Mapping[str, Tensor], parts: list[Part], hop: int) -> dict[str, Tensor]:
    if not parts:
        return _no_tensors()

    def take(values: Tensor, size: int) -> Tensor:
        pieces = [values[part.start * size : (part.start + part.frames) * size] for part in parts]
        return torch.cat(pieces).float().cpu().contiguous()

    return {
        "audio": take(features.audio, hop),
        "f0_hz": take(features.f0_hz, 1),
        "loudness_db": take(features.loudness_db, 1),
        "periodicity": take(features.periodicity, 1),
        **{name: take(values, 1) for name, values in inputs.items()},
    }


def _no_tensors() -> dict[str, Tensor]:
    return {name: torch.zeros(0) for name in TENSORS}


def _nothing(seconds: float, frames: int, reason: str) -> tuple[Analysis, dict[str, Tensor]]:
    return Analysis(seconds, [], [Span(0, frames, reason)]), _no_tensors()


def _mean(periodicity: Tensor) -> float:
    # Rounded, so that dataset.json does not depend on the last bit of a sum.
    return round(float(periodicity.double().mean()), 6)


def try_tracker(preparation: Preparation) -> None:
    """Track a frame of silence: a wrong option or a missing package shows before the first recording is read."""
    features = preparation.features
    track_pitch(
        torch.zeros(1, preparation.hop),
        sample_rate=preparation.sample_rate,
        hop=preparation.hop,
        tracker=features.tracker,
        fmin=features.fmin,
        fmax=features.fmax,
        **features.tracker_options,
    )
