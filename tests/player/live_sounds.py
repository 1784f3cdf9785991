"""What tests of live playing send in, and an instrument that follows it."""

import functools

import numpy as np

import zoo
from zoo.streaming import instrument_file

RATE = 48000


@functools.cache
def violin():
    """A model that plays the pitch that it is given."""
    return instrument_file(zoo.load("gru-S-violin"))


def tone(f0_hz, rate, *, amplitude=0.2):
    """Up to seven harmonics of a pitch `[samples]`, under 7 kHz."""
    turns = np.cumsum(f0_hz) / rate
    return amplitude * sum((k * f0_hz < 7000) * np.sin(2 * np.pi * k * turns) / k for k in range(1, 8))


def steady(f0_hz, seconds, rate=RATE, **options):
    return tone(np.full(round(seconds * rate), float(f0_hz)), rate, **options)


def cents(a, b):
    return 1200 * np.log2(a / b)
