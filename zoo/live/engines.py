"""What an audio callback calls: samples in, as many samples out, at the device's rate."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from zoo.live.midi import MidiInstrument

Samples = NDArray[np.float32]

_CROSSINGS = 16  # of the resampler's sinc, to either side
_PROBE_SECONDS = 0.05
_PROBE_EVERY = 0.5


class Resampler:
    """From one rate to another, sample by sample, by a windowed sinc; as late as `_CROSSINGS` of the slower rate."""

    def __init__(self, source: int, target: int) -> None:
        shared = math.gcd(source, target)
        self._source, self._target = source // shared, target // shared
        slower = min(1.0, target / source)
        self._reach = math.ceil(_CROSSINGS / slower)
        self.latency = (self._reach + 1) * target / source
        at = np.arange(self._target)[:, None] / self._target + np.arange(self._reach - 1, -self._reach - 1, -1)
        table = slower * np.sinc(slower * at) * np.kaiser(4097, 9.0)[np.rint(2048 * (1 + at / self._reach)).astype(int)]
        self._table = (table / table.sum(axis=1, keepdims=True)).astype(np.float32)
        self._past = np.zeros(2 * self._reach, np.float32)
        self._due = 0  # of the next output, in 1 / target of an input sample after the middle of `_past`

    def process(self, samples: Samples) -> Samples:
        """Take samples, and give those that are due."""
        past = np.concatenate([self._past, samples])
        count = max(0, -(-(len(samples) * self._target - self._due) // self._source))
        due = self._due + self._source * np.arange(count)
        first, phase = due // self._target, due % self._target
        made = np.einsum("ij,ij->i", past[first[:, None] + np.arange(2 * self._reach)], self._table[phase])
        self._due += self._source * count - self._target * len(samples)
        self._past = past[len(samples) :]
        return made.astype(np.float32)


class MidiEngine:
    """An instrument that is played by MIDI, at the device's rate; the input is not heard.

    Args:
        instrument: What plays.
        sample_rate: Of the device, in Hz.
    """

    def __init__(self, instrument: MidiInstrument, *, sample_rate: int) -> None:
        self.instrument = instrument
        self._ratio = instrument.sample_rate / sample_rate
        self._resampler = Resampler(instrument.sample_rate, sample_rate)
        self._waiting = np.zeros(0, np.float32)
        self.gain = 1.0

    def process(self, samples: Samples) -> Samples:
        """Play as many samples as are given."""
        while len(self._waiting) < len(samples):
            lacking = (len(samples) - len(self._waiting)) * self._ratio
            made = self.instrument.process(math.ceil(lacking / self.instrument.hop))
            self._waiting = np.concatenate([self._waiting, self._resampler.process(made)])
        out, self._waiting = self._waiting[: len(samples)], self._waiting[len(samples) :]
        return out * np.float32(self.gain)

    @property
    def delays_seconds(self) -> dict[str, float]:
        """By what a note is late, in seconds: up to a frame, the synth, the resampler; and in all."""
        rate = self.instrument.sample_rate
        parts = {
            "frame": self.instrument.hop / rate,
            "synth": self.instrument.latency / rate,
            "resampling": self._resampler.latency * self._ratio / rate,
        }
        return {"total": sum(parts.values()), **parts}


class Probe:
    """Plays a chirp twice a second, and finds it in what comes in: how long a sound takes through the devices.

    Args:
        sample_rate: In Hz.
    """

    def __init__(self, *, sample_rate: int) -> None:
        self._rate = sample_rate
        t = np.arange(round(_PROBE_SECONDS * sample_rate)) / sample_rate
        sweep = np.sin(2 * np.pi * (500 * t + (3000 - 500) / (2 * _PROBE_SECONDS) * t**2))
        self._chirp = (0.5 * sweep * np.hanning(len(t))).astype(np.float32)
        self._period = round(_PROBE_EVERY * sample_rate)
        self._played = 0
        self._heard: list[Samples] = []

    def process(self, samples: Samples) -> Samples:
        """Play on, and keep what comes in."""
        at = (self._played + np.arange(len(samples))) % self._period
        self._played += len(samples)
        self._heard.append(samples.copy())
        return np.where(at < len(self._chirp), self._chirp[np.minimum(at, len(self._chirp) - 1)], np.float32(0))

    def round_trip_seconds(self) -> float | None:
        """From the output to the input, as the median of what was heard; None where it was not heard clearly."""
        heard = np.concatenate(self._heard or [np.zeros(0, np.float32)])
        found = []
        for begin in range(0, len(heard) - self._period, self._period):
            some = heard[begin : begin + self._period + len(self._chirp)]
            size = 1 << (len(some) + len(self._chirp)).bit_length()
            matched = np.fft.irfft(np.fft.rfft(some, size) * np.conj(np.fft.rfft(self._chirp, size)), size)
            matched = np.abs(matched[: self._period])
            best = int(matched.argmax())
            alike = matched[best] / (
                np.linalg.norm(self._chirp) * np.linalg.norm(some[best : best + len(self._chirp)]) + 1e-9
            )
            found.extend([best / self._rate] if alike > 0.7 else [])
        return float(np.median(found)) if len(found) >= 2 else None
