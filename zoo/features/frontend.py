"""From a recording to what a decoder is driven by: the same steps in `prepare` and in `synthesize`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ConfigError, listing, near_matches
from zoo.features.loudness import FLOOR_DB, loudness_db
from zoo.features.pitch import default_thresholds, track_pitch
from zoo.limits import LARGEST_RATE, short

# A recording whose peak is under this (-100 dB of full scale) is silent, and not amplified.
SILENT_PEAK = 1e-5
NORMALIZATIONS = ("peak", "none")


@dataclass(frozen=True)
class FeatureSettings:
    """How features are measured; stored in config.json and dataset.json.

    Attributes:
        tracker: Name of the pitch tracker.
        tracker_options: The tracker's own options, e.g. `{"model": "tiny"}`.
        fmin: Lowest pitch in Hz.
        fmax: Highest pitch in Hz.
        center: Whether analysis windows are centred on sample `frame * hop`; the thesis's start there.
        normalize: "peak" brings each recording's peak to full scale first; "none" leaves it.
        voicing_threshold: Confidence under which a frame's `f0_hz` is 0; the tracker's own where None.
        n_fft: Samples of the loudness window.
    """

    tracker: str = "torchcrepe"
    tracker_options: dict[str, Any] = field(default_factory=dict)
    fmin: float = 50.0
    fmax: float = 2000.0
    center: bool = True
    normalize: str = "peak"
    voicing_threshold: float | None = None
    n_fft: int = 2048

    def __post_init__(self) -> None:
        for name, value in (("fmin", self.fmin), ("fmax", self.fmax)):
            if not _is_number(value) or not 0 < value <= LARGEST_RATE:
                raise ConfigError(f"{name} must be a frequency in Hz over 0, found {short(value)}.")
        if isinstance(self.n_fft, bool) or not isinstance(self.n_fft, int) or not 1 < self.n_fft <= LARGEST_RATE:
            raise ConfigError(f"n_fft must be a whole number from 2 to {LARGEST_RATE}, found {short(self.n_fft)}.")
        if self.voicing_threshold is not None and not _is_number(self.voicing_threshold):
            raise ConfigError(f"voicing_threshold must be a number, found {short(self.voicing_threshold)}.")
        if not isinstance(self.tracker, str) or not isinstance(self.tracker_options, Mapping):
            found = f"{short(self.tracker)} and {short(self.tracker_options)}"
            raise ConfigError(f"tracker must be a name and tracker_options an object, found {found}.")
        if not isinstance(self.center, bool):
            raise ConfigError(f"center must be true or false, found {short(self.center)}.")
        if self.normalize not in NORMALIZATIONS:
            raise ConfigError(f"Cannot normalize by {short(self.normalize)}. Choose peak or none.")

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, as they stand in a JSON file."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FeatureSettings:
        """Read what `to_dict` gave; what is missing has its default.

        Raises:
            ConfigError: A key means nothing here.
        """
        known = [f.name for f in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise ConfigError(
                    f"Feature settings have no {short(name)}.{near_matches(name, known)} They have: {listing(known)}. "
                    "A file with it may come from a newer version of zoo."
                )
        return cls(**values)

    def resolved_threshold(self) -> float:
        """The voicing threshold in use: the one given, or the tracker's own."""
        return default_thresholds(self.tracker)[0] if self.voicing_threshold is None else self.voicing_threshold


@dataclass
class Features:
    """Features of one recording.

    Attributes:
        f0_hz: `[frames]`, 0 where unvoiced.
        loudness_db: `[frames]`, -80 to 0.
        periodicity: `[frames]`, the tracker's confidence.
        audio: `[frames * hop]`, the recording as measured: normalised, and cut to whole frames.
        gain_db: What normalisation added to the recording's level; subtract it to have the level back.
    """

    f0_hz: Tensor
    loudness_db: Tensor
    periodicity: Tensor
    audio: Tensor
    gain_db: float


def extract_features(
    audio: Tensor, *, sample_rate: int, hop: int, settings: FeatureSettings, f0_hz: Tensor | None = None
) -> Features:
    """Measure pitch and loudness of one recording.

    The recording is normalised as a whole; the samples after the last whole frame are cut off. Frames under the
    voicing threshold, and frames of silence, have `f0_hz` 0.

    Args:
        audio: `[samples]`, at the given rate.
        sample_rate: In Hz.
        hop: Samples a frame.
        settings: What to measure, and how.
        f0_hz: The pitch, where it is known (0 = unvoiced), `[samples // hop]`: then none is tracked.

    Returns:
        The features, on the audio's device.

    Raises:
        ConfigError: The audio is not `[samples]`, or the settings name a tracker or option that does not exist.
        PluginError: What the tracker needs is not installed.
    """
    if audio.ndim != 1:
        raise ConfigError(f"One recording has shape [samples], not {list(audio.shape)}. Mix channels down first.")
    audio, gain_db = normalize(audio.float(), settings.normalize)
    frames = audio.shape[0] // hop
    # Measured with what follows the last whole frame, so that the last windows do not see silence there.
    loudness = loudness_db(audio[None], sample_rate=sample_rate, hop=hop, n_fft=settings.n_fft, center=settings.center)
    if f0_hz is None:
        pitch, periodicity = track_pitch(
            audio[None],
            sample_rate=sample_rate,
            hop=hop,
            tracker=settings.tracker,
            fmin=settings.fmin,
            fmax=settings.fmax,
            center=settings.center,
            **settings.tracker_options,
        )
        voiced = (periodicity[0] >= settings.resolved_threshold()) & (loudness[0] > FLOOR_DB)
        f0_hz, periodicity = torch.where(voiced, pitch[0], 0.0), periodicity[0]
    else:
        if f0_hz.shape != (frames,):
            raise ConfigError(f"The known pitch has shape {list(f0_hz.shape)}, and the recording {frames} frames.")
        f0_hz, periodicity = f0_hz.to(audio), torch.ones_like(loudness[0])
    return Features(f0_hz, loudness[0], periodicity, audio[: frames * hop], gain_db)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def normalize(audio: Tensor, how: str) -> tuple[Tensor, float]:
    """Bring a recording to its working level.

    Args:
        audio: Samples of one recording.
        how: "peak": the largest sample becomes 1, unless the recording is silent; "none": nothing is changed.

    Returns:
        The audio and the gain in dB.
    """
    peak = float(audio.abs().max()) if audio.numel() else 0.0
    if how == "none" or peak < SILENT_PEAK:
        return audio, 0.0
    return audio / peak, -20.0 * math.log10(peak)


def scale_f0(f0_hz: Tensor) -> Tensor:
    """Scale pitch for a decoder: its MIDI number over 127; 0 where it is unvoiced (`f0_hz` 0 or less)."""
    voiced = f0_hz > 0.0
    midi = 12.0 * torch.log2(torch.where(voiced, f0_hz, 440.0) / 440.0) + 69.0
    return torch.where(voiced, midi / 127.0, 0.0)


def scale_loudness(loudness_db: Tensor) -> Tensor:
    """Scale loudness for a decoder: -80 dB becomes 0, and 0 dB becomes 1."""
    return loudness_db / 80.0 + 1.0
