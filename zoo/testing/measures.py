"""The checks of a metric, of a pitch tracker and of a loudness."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from zoo import registry
from zoo.features.loudness import FLOOR_DB
from zoo.metrics.sets import SetMetric
from zoo.testing.contract import TOLERANCE, Subject, trial

_RATE, _HOP, _SAMPLES = 16000, 256, 8192
_PITCHES_HZ = (220.0, 330.0)


def _tones() -> Tensor:
    time = torch.arange(_SAMPLES) / _RATE
    tones = [sum(torch.sin(2 * torch.pi * f0 * k * time) / k for k in range(1, 6)) for f0 in _PITCHES_HZ]
    generator = torch.Generator().manual_seed(0)
    audio: Tensor = 0.2 * torch.stack([torch.as_tensor(tone) for tone in tones])
    return audio + 1e-3 * torch.randn(audio.shape, generator=generator)


def check_metric(metric: str | Callable[..., Any], *, options: Mapping[str, Any] | None = None) -> None:
    """Make sure that a metric does what evaluation relies on.

    Checked: one finite value per row, which is 0 between equal sounds and more between others; that rows do not see
    each other; and that what lies after `valid_samples` does not count. `sample_rate`, `hop` and `valid_samples` are
    given where its signature takes them; a metric whose second argument is `f0_hz` is given pitch there. Of a metric
    over a set (`zoo.metrics.set_metric`): one finite value for all rows, 0 between equal sets and more between others,
    in whatever order their rows stand; and that the statistics of two parts add up to those of the whole.

    Example:
        >>> check_metric("log_spectral_distance")

    Args:
        metric: A registered name, or the function: of `a` and `b`, audio `[batch, samples]` each.
        options: Its own options.

    Raises:
        AssertionError: It breaks a promise, which the message tells beside what was found.
        ConfigError: There is no metric of that name.
    """
    subject = Subject(registry.metrics, metric)
    with subject.promises("It is a function whose signature can be read."):
        takes = list(inspect.signature(subject.component).parameters)
    rates = {name: value for name, value in (("sample_rate", _RATE), ("hop", _HOP)) if name in takes}
    keywords = {**rates, **(options or {})}
    if isinstance(subject.component, SetMetric):
        _check_set_metric(subject, subject.component, keywords)
        return
    against_pitch = len(takes) > 1 and takes[1] == "f0_hz"

    def measure(a: Tensor, b: Tensor, **more: Tensor) -> list[Tensor]:
        promise = f"It takes two [batch, samples] (or audio and f0_hz) and {sorted({*keywords, *more})}."
        with subject.promises(promise), trial():
            found = subject.component(a, b, **keywords, **more)
        values = [getattr(found, each.name) for each in fields(found)] if is_dataclass(found) else [found]
        for value in values:
            subject.require(
                isinstance(value, Tensor) and value.shape == (len(a),),
                f"It gives one value per row, [batch] = [{len(a)}].",
                list(value.shape) if isinstance(value, Tensor) else type(value).__name__,
            )
            subject.require(bool(torch.isfinite(value.double()).all()), "Its values are finite.", value.tolist())
        return values

    a = _tones()
    b = torch.tensor(_PITCHES_HZ)[:, None].repeat(1, _SAMPLES // _HOP) if against_pitch else a.flip(0)
    other = measure(a, b)
    if not against_pitch:
        for equal, different in zip(measure(a, a.clone()), other, strict=True):
            subject.require_close(equal, torch.zeros_like(equal), "It is 0 between equal sounds.")
            subject.require(bool((different > 0).all()), "It is positive between different sounds.", different.tolist())
    promise = "Rows do not see each other: the value of a row is what it is alone."
    for alone, value in zip(measure(a[1:], b[1:]), other, strict=True):
        subject.require_close(alone.double(), value[1:].double(), promise, atol=TOLERANCE * max(1e-3, float(value[1])))
    if "valid_samples" in takes:
        valid = torch.tensor([_SAMPLES, _SAMPLES // 2])
        spoilt = a.clone()
        spoilt[1, _SAMPLES // 2 :] = 0.5
        pairs = zip(measure(a, b, valid_samples=valid), measure(spoilt, b, valid_samples=valid), strict=True)
        for whole, padded in pairs:
            subject.require_close(padded, whole, "What lies after valid_samples in a row does not count.")


def _check_set_metric(subject: Subject, metric: SetMetric, keywords: Mapping[str, Any]) -> None:
    def measure(a: Tensor, b: Tensor, **more: Tensor) -> Tensor:
        with subject.promises(f"It takes two [batch, samples] and {sorted({*keywords, *more})}."), trial():
            found = metric(a, b, **keywords, **more)
        subject.require(found.ndim == 0, "It gives one value for the set, a scalar.", list(found.shape))
        subject.require(bool(torch.isfinite(found)), "Its value is finite.", float(found))
        return found.float()

    # long enough for a network that looks at a second at once
    a = torch.cat([_tones()] * 6, dim=1)
    b = 0.5 * a.flip(1) + 0.01
    apart = measure(a, b)
    slack = TOLERANCE * max(1e-3, float(apart))
    subject.require_close(measure(a, a.clone()), torch.zeros(()), "It is 0 between equal sets.", atol=slack)
    subject.require(float(apart) > slack, "It is positive between different sets.", float(apart))
    subject.require_close(measure(a, b.flip(0)), apart, "The order of a set's rows does not count.", atol=slack)
    with subject.promises("The statistics of two parts of a set add up to those of the whole."), trial():
        whole = metric.statistics(a, **keywords)
        parts = metric.statistics(a[:1], **keywords) + metric.statistics(a[1:], **keywords)
    promise = "The statistics of two parts of a set add up to those of the whole."
    for added, expected in ((parts.mean, whole.mean), (parts.covariance, whole.covariance)):
        atol = TOLERANCE * max(1e-3, float(expected.abs().max()))
        subject.require_close(added.float(), expected.float(), promise, atol=atol)
    samples = a.shape[1]
    valid = torch.tensor([samples, samples // 2])
    spoilt = a.clone()
    spoilt[1, samples // 2 :] = 0.5
    whole_value, padded = (measure(each, b, valid_samples=valid) for each in (a, spoilt))
    subject.require_close(padded, whole_value, "What lies after valid_samples in a row does not count.", atol=slack)


def check_pitch(tracker: str | Callable[..., Any], *, options: Mapping[str, Any] | None = None) -> None:
    """Make sure that a pitch tracker does what the front end relies on.

    Checked: shapes, finite values and confidences from 0 to 1, centred or not; that rows do not see each other; that
    the pitch of plain tones (220 and 330 Hz) is found to 50 cents; that silence gives no NaN.

    Example:
        >>> check_pitch("yin")

    Args:
        tracker: A registered name, or the function.
        options: Its own options.

    Raises:
        AssertionError: It breaks a promise, which the message tells beside what was found.
        ConfigError: There is no tracker of that name.
    """
    subject = Subject(registry.pitch, tracker)
    frames = _SAMPLES // _HOP

    def track(audio: Tensor, *, center: bool) -> tuple[Tensor, Tensor]:
        promise = "It takes audio [batch, samples], sample_rate, hop, fmin, fmax, center and its options."
        with subject.promises(promise), trial(), torch.no_grad():
            f0_hz, confidence = subject.component(
                audio, sample_rate=_RATE, hop=_HOP, fmin=50.0, fmax=2000.0, center=center, **(options or {})
            )
        for what, value in (("pitch", f0_hz), ("confidence", confidence)):
            what = f"Its {what}, center={center} ([batch, samples // hop])"
            subject.require_tensor(value, (len(audio), frames), what, torch.float32)
        low, high = float(confidence.min()), float(confidence.max())
        subject.require(low >= -1e-6 and high <= 1 + 1e-6, "Its confidence lies from 0 to 1.", f"{low} to {high}")
        return f0_hz, confidence

    audio = _tones()
    for center in (False, True):
        f0_hz, _ = track(audio, center=center)
        alone, _ = track(audio[1:], center=center)
        promise = "Rows do not see each other: the pitch of a row is what it is alone."
        subject.require_close(alone, f0_hz[1:], promise, atol=0.1)
        for found, wanted in zip(f0_hz, _PITCHES_HZ, strict=True):
            middle = found[frames // 4 : frames // 2].median()
            cents = abs(1200 * float(torch.log2(middle.clamp(min=1.0) / wanted)))
            subject.require(cents <= 50, f"A tone of {wanted} Hz is found to 50 cents.", f"{float(middle)} Hz")
    track(torch.zeros_like(audio), center=True)


def check_loudness(loudness: str | Callable[..., Any], *, options: Mapping[str, Any] | None = None) -> None:
    """Make sure that a loudness does what the front end relies on.

    Checked: shapes and finite values, at two rates, centred or not, also for less than a frame; that silence is -80 dB
    and nothing is under that; that more level is more loudness; that rows do not see each other; and that a gradient
    through silence is finite.

    Example:
        >>> check_loudness("a_weighted")

    Args:
        loudness: A registered name, or the function.
        options: Its own options.

    Raises:
        AssertionError: It breaks a promise, which the message tells beside what was found.
        ConfigError: There is no loudness of that name.
    """
    subject = Subject(registry.loudness, loudness)

    def measure(audio: Tensor, *, center: bool = True, sample_rate: int = _RATE) -> Tensor:
        promise = "It takes audio [batch, samples], sample_rate, hop, center and its options."
        with subject.promises(promise), trial():
            found: Tensor = subject.component(
                audio, sample_rate=sample_rate, hop=_HOP, center=center, **(options or {})
            )
        shape = (len(audio), audio.shape[1] // _HOP)
        subject.require_tensor(found, shape, f"Its result, center={center} ([batch, samples // hop])", torch.float32)
        return found

    audio = _tones()
    for center in (False, True):
        for sample_rate in (_RATE, 3 * _RATE):
            found = measure(audio, center=center, sample_rate=sample_rate)
            lowest = float(found.min())
            subject.require(lowest >= FLOOR_DB - 1e-3, "It is never under -80 dB.", lowest)
            alone = measure(audio[1:], center=center, sample_rate=sample_rate)
            promise = "Rows do not see each other: the loudness of a row is what it is alone."
            subject.require_close(alone, found[1:], promise, atol=1e-2)
    softer, louder = (measure(gain * audio).mean(dim=1) for gain in (0.1, 1.0))
    subject.require(bool((louder > softer).all()), "More level is more loudness.", [softer.tolist(), louder.tolist()])
    silence = torch.zeros_like(audio).requires_grad_(True)
    found = measure(silence)
    subject.require_close(found, torch.full_like(found, FLOOR_DB), "Silence is -80 dB.")
    measure(audio[:, : _HOP - 1])
    if found.requires_grad:
        (gradient,) = torch.autograd.grad(found.sum(), silence)
        subject.require(bool(torch.isfinite(gradient).all()), "A gradient through silence is finite.", "it is not")
