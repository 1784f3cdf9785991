"""From a recording to what a decoder is driven by: the same steps in `prepare` and in `synthesize`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zoo.checks.limits import short
from zoo.checks.options import number_fault, refuse, type_fault, whole_fault
from zoo.errors import ConfigError, listing, near_matches
from zoo.features.loudness import FLOOR_DB, measure_by_name, sound_level_db
from zoo.features.pitch import default_thresholds, options_today, track_pitch
from zoo.features.values import clean_f0, clean_loudness

# A recording whose peak is under this (-100 dB of full scale) is silent, and not amplified.
SILENT_PEAK = 1e-5
NORMALIZATIONS = ("loudness", "peak", "none")
# What "loudness" brings a recording to: this quantile of its A-weighted level, over the frames within 30 dB of the
# loudest one. docs/data.md says how far that scatters, and what it leaves under full scale.
LEVEL_QUANTILE = 0.75
LEVEL_TARGET_DB = -20.0
# What a stored dict means that was written before there was a choice: what it was made with.
_WITHOUT_A_WORD = {"loudness": "mean_db", "loudness_options": {}, "bridge_ms": 0.0}
MOST_BRIDGED_MS = 200.0
_MOST_N_FFT = 2**20


@dataclass(frozen=True)
class FeatureSettings:
    """How features are measured; stored in config.json and dataset.json.

    Attributes:
        tracker: Name of the pitch tracker.
        tracker_options: The tracker's own options, e.g. `{"model": "tiny"}`.
        fmin: Lowest pitch in Hz.
        fmax: Highest pitch in Hz.
        center: Whether analysis windows are centred on sample `frame * hop`; the thesis's start there.
        normalize: "loudness" brings each recording's A-weighted level to -20 dB first (see `normalize`), "peak" its
            peak to full scale; "none" leaves it.
        voicing_threshold: Confidence under which a frame's `f0_hz` is 0; the tracker's own where None.
        n_fft: Samples of the window of the thesis's loudness, and of others that take one in samples.
        loudness: Name of the loudness, of the registry's kind `loudness`: "a_weighted", or the thesis's "mean_db".
        loudness_options: That one's own options, e.g. `{"window_seconds": 0.032}`.
        bridge_ms: Gaps in the pitch of one note up to this long, in milliseconds, are filled where the sound goes on;
            none where 0, as in all data from before there was this setting.
    """

    tracker: str = "torchcrepe"
    tracker_options: dict[str, Any] = field(default_factory=dict)
    fmin: float = 50.0
    fmax: float = 2000.0
    center: bool = True
    normalize: str = "loudness"
    voicing_threshold: float | None = None
    n_fft: int = 2048
    loudness: str = "a_weighted"
    loudness_options: dict[str, Any] = field(default_factory=dict)
    bridge_ms: float = 0.0

    def __post_init__(self) -> None:
        refuse(
            (
                type_fault("tracker", self.tracker, str, "a pitch tracker's name"),
                type_fault("tracker_options", self.tracker_options, Mapping, "a dictionary"),
                number_fault("fmin", self.fmin, over=0),
                number_fault("fmax", self.fmax, over=0),
                type_fault("center", self.center, bool, "True or False"),
                None if self.voicing_threshold is None else number_fault("voicing_threshold", self.voicing_threshold),
                whole_fault("n_fft", self.n_fft, least=2, most=_MOST_N_FFT),
                type_fault("loudness", self.loudness, str, "a loudness's name"),
                type_fault("loudness_options", self.loudness_options, Mapping, "a dictionary"),
                number_fault("bridge_ms", self.bridge_ms),
            )
        )
        if self.normalize not in NORMALIZATIONS:
            raise ConfigError(f"Cannot normalize by {short(self.normalize)}. Choose loudness, peak or none.")
        if not 0.0 <= self.bridge_ms <= MOST_BRIDGED_MS:
            raise ConfigError(
                f"Gaps of up to {self.bridge_ms:g} ms in the pitch cannot be bridged: choose 0 (none) to "
                f"{MOST_BRIDGED_MS:g} ms. Longer gaps are rests."
            )

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, as they stand in a JSON file.

        The thesis's loudness, and gaps that are not bridged, are left out, since a file that says nothing means those:
        files that were made before there was a choice keep their bytes and hashes, and an older zoo can read what it
        can play.
        """
        values = dataclasses.asdict(self)
        for key, meant in _WITHOUT_A_WORD.items():
            if values[key] == meant:
                del values[key]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FeatureSettings:
        """Read what `to_dict` gave.

        Where `loudness` or `normalize` is missing, the dict is of before there was a choice, and means what was done
        then: the thesis's loudness, the peak at full scale. What else is missing has its default.

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
        return cls(**{"normalize": "peak", **_WITHOUT_A_WORD, **values})

    def today(self) -> FeatureSettings:
        """The same with what its tracker has gained since: how a recording is heard that is to be played.

        Raises:
            ConfigError: There is no such tracker.
            PluginError: It cannot be imported.
        """
        return dataclasses.replace(self, tracker_options=options_today(self.tracker, self.tracker_options))

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
        hop: Samples per frame.
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
    audio, gain_db = normalize(audio.float(), settings.normalize, sample_rate=sample_rate)
    frames = audio.shape[0] // hop
    # Measured with what follows the last whole frame, so that the last windows do not see silence there.
    loudness = measure_loudness(audio[None], sample_rate=sample_rate, hop=hop, settings=settings)
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
        f0_hz = bridge_gaps(
            f0_hz, audio, sample_rate=sample_rate, hop=hop, center=settings.center, milliseconds=settings.bridge_ms
        )
    else:
        if f0_hz.shape != (frames,):
            raise ConfigError(f"The known pitch has shape {list(f0_hz.shape)}, and the recording {frames} frames.")
        f0_hz, periodicity = f0_hz.to(audio), torch.ones_like(loudness[0])
    return Features(f0_hz, loudness[0], periodicity, audio[: frames * hop], gain_db)


def measure_loudness(audio: Tensor, *, sample_rate: int, hop: int, settings: FeatureSettings) -> Tensor:
    """Measure loudness as a model or a dataset does: by the kind that its settings name.

    >>> measure_loudness(torch.zeros(1, 16000), sample_rate=16000, hop=64, settings=FeatureSettings()).shape
    torch.Size([1, 250])

    Args:
        audio: `[batch, samples]`.
        sample_rate: In Hz.
        hop: Samples per frame.
        settings: `model.feature_settings()`, or `dataset.features`.

    Returns:
        `[batch, samples // hop]` in dB, -80 at least.

    Raises:
        ConfigError: There is no such loudness or option.
        PluginError: What it needs is not installed.
    """
    return measure_by_name(
        audio,
        sample_rate=sample_rate,
        hop=hop,
        kind=settings.loudness,
        center=settings.center,
        n_fft=settings.n_fft,
        options=settings.loudness_options,
    )


def normalize(audio: Tensor, how: str, *, sample_rate: int | None = None) -> tuple[Tensor, float]:
    """Bring a recording to its working level.

    Args:
        audio: Samples of one recording.
        how: "loudness": the third quartile of its A-weighted level, over the frames within 30 dB of the loudest one,
            becomes -20 dB; its peak may pass full scale then. "peak": the largest sample becomes 1. "none": nothing is
            changed. A silent recording is not amplified.
        sample_rate: In Hz; "loudness" needs it.

    Returns:
        The audio and the gain in dB.

    Raises:
        ConfigError: "loudness" lacks the sample rate.
    """
    # as audio.abs().max() gives it, without another copy of a long recording
    peak = float(torch.maximum(audio.max(), -audio.min())) if audio.numel() else 0.0
    if how == "none" or peak < SILENT_PEAK:
        return audio, 0.0
    if how == "peak":
        return audio / peak, -20.0 * math.log10(peak)
    if sample_rate is None:
        raise ConfigError('To normalize by "loudness" takes the audio\'s sample_rate.')
    level_db = float(sound_level_db(audio[None], sample_rate=sample_rate, quantile=LEVEL_QUANTILE))
    if level_db <= FLOOR_DB:
        return audio, 0.0
    gain_db = LEVEL_TARGET_DB - level_db
    return audio * 10.0 ** (gain_db / 20.0), gain_db


def scale_f0(f0_hz: Tensor) -> Tensor:
    """Scale pitch for a decoder: its MIDI number over 127; 0 where it is unvoiced (see `zoo.features.values`)."""
    f0_hz = clean_f0(f0_hz)
    voiced = f0_hz > 0.0
    midi = 12.0 * torch.log2(torch.where(voiced, f0_hz, 440.0) / 440.0) + 69.0
    return torch.where(voiced, midi / 127.0, 0.0)


def scale_loudness(loudness_db: Tensor) -> Tensor:
    """Scale loudness for a decoder: -80 dB becomes 0, and 0 dB becomes 1."""
    return clean_loudness(loudness_db) / 80.0 + 1.0


# Pitches on both sides of a gap may differ by less than this.
_SAME_NOTE_CENTS = 60.0
# How many voiced frames there must be on each side: the pitch there is their median.
_ANCHOR = 3
# How far in dB the sound in the gap may be under the softer side.
_DROP_DB = 6.0
# How alike a stretch of sound and the same a period later must be (1 is equal) for a frame to count as periodic.
_PERIODICITY = 0.6


def bridge_gaps(
    f0_hz: Tensor, audio: Tensor, *, sample_rate: int, hop: int, center: bool, milliseconds: float
) -> Tensor:
    """Fill gaps of a few unvoiced frames inside a note.

    A gap is filled where the frames on both sides have nearly the same pitch, the sound goes on at nearly the same
    level, and it repeats itself at that pitch in every frame of the gap. The pitch is interpolated.

    Args:
        f0_hz: `[frames]`, 0 where unvoiced.
        audio: `[samples]`, at least `frames * hop` of them.
        sample_rate: In Hz.
        hop: Samples per frame.
        center: Whether frame t stands for the sound around sample `t * hop`; otherwise for half a window (32 ms) later.
        milliseconds: Longest gap to fill; 0 fills none.

    Returns:
        `[frames]`: the same tensor where nothing was filled.
    """
    longest = int(milliseconds / 1000.0 * sample_rate / hop)
    gaps = [gap for gap in _gaps(f0_hz) if gap[1] - gap[0] <= longest]
    if not gaps:
        return f0_hz
    samples = audio.detach().cpu()
    shift = 0 if center else round(0.032 * sample_rate)
    filled = f0_hz.clone()
    for start, end in gaps:
        before, after = f0_hz[max(0, start - _ANCHOR) : start], f0_hz[end : end + _ANCHOR]
        if min(len(before), len(after)) < _ANCHOR or not bool((before > 0).all() and (after > 0).all()):
            continue
        left, right = float(before.median()), float(after.median())
        if abs(1200.0 * math.log2(right / left)) >= _SAME_NOTE_CENTS:
            continue
        where = [frame * hop + shift for frame in range(start - 1, end + 1)]
        if _goes_on(samples, where, period=round(sample_rate / math.sqrt(left * right))):
            weights = torch.arange(1, end - start + 1, device=f0_hz.device, dtype=f0_hz.dtype) / (end - start + 1)
            filled[start:end] = torch.exp(
                torch.log(f0_hz[start - 1]) * (1.0 - weights) + torch.log(f0_hz[end]) * weights
            )
    return filled


def _gaps(f0_hz: Tensor) -> list[tuple[int, int]]:
    # Unvoiced runs [start, end) that have a voiced frame on both sides.
    unvoiced = torch.nn.functional.pad((f0_hz <= 0).int(), (1, 1))
    edges = unvoiced.diff().nonzero()[:, 0].tolist()
    runs = zip(edges[::2], edges[1::2], strict=True)
    return [(start, end) for start, end in runs if start > 0 and end < len(f0_hz)]


def _goes_on(audio: Tensor, where: list[int], *, period: int) -> bool:
    # Whether the sound at these samples, of which the first and the last are outside the gap, holds its level and
    # repeats itself after about a period. Two periods are looked at, 10 ms at least.
    size = max(2 * period, 160)
    slack = max(1, round(0.03 * period))
    levels = []
    for at in where:
        first = at - (size + period) // 2
        if first - slack < 0 or first + size + period + slack > len(audio):
            return False
        here = audio[first : first + size].double()
        levels.append(float(here.square().mean()))
        if levels[-1] < 1e-10:
            return False
        later = audio[first + period - slack : first + period + slack + size].double().unfold(0, size, 1)
        alike = (later @ here) / (here.norm() * later.norm(dim=-1)).clamp(min=1e-12)
        if float(alike.max()) < _PERIODICITY:
            return False
    softer = min(levels[0], levels[-1])
    return min(levels) >= softer * 10.0 ** (-_DROP_DB / 10.0)
