"""The check of datasets can fail, and says what is promised and what was found."""

import dataclasses
from dataclasses import dataclass

import pytest
import torch

from zoo.datasets import Recording
from zoo.testing import check_dataset


@dataclass(frozen=True)
class Beep(Recording):
    length: float = 0.5

    def load(self, sample_rate):
        return torch.sin(2 * torch.pi * 440 * torch.arange(int(self.length * sample_rate)) / sample_rate)

    def seconds(self):
        return self.length

    def known_f0(self, sample_rate, hop):
        return torch.full((int(self.length * sample_rate) // hop,), 440.0)


class SaysAnotherLength(Beep):
    def seconds(self):
        return 3.0


class IgnoresTheRate(Beep):
    def load(self, sample_rate):
        return super().load(16000)


class Stereo(Beep):
    def load(self, sample_rate):
        return super().load(sample_rate)[None].repeat(2, 1)


class PitchASample(Beep):
    def known_f0(self, sample_rate, hop):
        return super().known_f0(sample_rate, 1)


class DigestOfChance(Beep):
    def digest(self, sample_rate):
        return f"{torch.randint(2**30, ()).item():064x}"


@dataclass(frozen=True)
class HoldsAFunction(Beep):
    source: object = dataclasses.field(default_factory=lambda: lambda: 0)


def give(kind, ids=("a", "b")):
    return lambda: [kind(id=name) for name in ids]


def test_good_dataset_passes():
    check_dataset(give(Beep))


@pytest.mark.parametrize(
    ("dataset", "promise", "found"),
    [
        (lambda: [], "at least one recording", "none"),
        (lambda: ["a.wav"], r"extends zoo\.datasets\.Recording", "str"),
        (lambda path: [], "called with the folder", "TypeError"),
        (give(Beep, ("a", "a")), "unique", "twice"),
        (lambda: [Beep(id=str(torch.rand(()).item()))], "same from call to call", "and"),
        (give(HoldsAFunction), "can be pickled", "lambda"),
        (give(Stereo), r"\[samples\]\) is", r"\[2, 8000\]"),
        (give(IgnoresTheRate), "at the rate that is asked for", "8000 samples at 16000 Hz, 8000 at 8000 Hz"),
        (give(SaysAnotherLength), "seconds", "3.0 s"),
        (give(DigestOfChance), "SHA-256", "0000"),
        (give(PitchASample), "a value for each hop samples, 125", "8000"),
    ],
)
def test_broken_dataset_fails(dataset, promise, found):
    with pytest.raises(AssertionError, match=rf"dataset .*Promised: .*{promise}.*Found: .*{found}"):
        check_dataset(dataset)
