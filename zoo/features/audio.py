"""Recordings in and out: any format and rate that libsndfile reads, mono out of any number of channels.

Several channels become their mean, where that is what was recorded.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from zoo.checks.options import refuse, whole_fault
from zoo.errors import ConfigError, DatasetError
from zoo.features.sound_files import SoundReader, check_file, damage, open_sound
from zoo.features.values import as_floats
from zoo.storage.files import write_atomically

if TYPE_CHECKING:
    from numpy.typing import NDArray


_log = logging.getLogger(__name__)

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".opus", ".aif", ".aiff")


@dataclass(frozen=True)
class Recorded:
    """A recording as it was read.

    Attributes:
        audio: float32 `[samples]`, mono at the rate that was asked for, full scale at 1.
        notes: What the user should know of it, each as a clause without a full stop: channels left out, a cut file.
    """

    audio: Tensor
    notes: tuple[str, ...] = ()


def read_audio(path: str | Path, *, sample_rate: int) -> Tensor:
    """Read a recording as mono at the given rate; what is odd about it goes to the log, as a warning.

    >>> read_audio("flute.flac", sample_rate=16000).shape  # doctest: +SKIP
    torch.Size([48000])

    Args:
        path: A file that libsndfile reads: wav, flac, ogg, opus, mp3, aiff and others. Channels are averaged, but for
            those that are silent, broken, or cancel each other out.
        sample_rate: Rate of the result in Hz; the recording is resampled to it.

    Returns:
        float32 `[samples]`, full scale at 1.

    Raises:
        DatasetError: There is no such file, it cannot be read, is empty, or holds values that are no numbers.
    """
    found = read_recording(path, sample_rate=sample_rate)
    for note in found.notes:
        _log.warning("%s: %s.", path, note)
    return found.audio


def read_recording(path: str | Path, *, sample_rate: int) -> Recorded:
    """As `read_audio`, with what is odd about the recording as text. It is read in blocks.

    Args:
        path: The file.
        sample_rate: Rate of the result in Hz.

    Raises:
        DatasetError: As for `read_audio`.
    """
    import soundfile

    path = Path(path)
    check_file(path)
    try:
        with open_sound(path) as reader:
            channels = reader.file.channels
            mix = choose_channels(reader.blocks(), sample_rate=reader.file.samplerate) if channels > 1 else Mix((0,))
            audio = _mono(reader, mix, sample_rate) if mix.channels else np.zeros(reader.frames, np.float32)
            missing = damage(path, reader)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise DatasetError(
            f"{path}: cannot be read as audio ({_reason(error)}). Known formats: wav, flac, ogg, opus, mp3, aiff; "
            "convert others first, for example with ffmpeg."
        ) from error
    if len(audio) == 0:
        raise DatasetError(f"{path}: the recording is empty (no samples). Get it again, or remove it.")
    if not mix.channels or not np.isfinite(audio).all():
        raise DatasetError(
            f"{path}: the recording holds values that are no numbers (NaN or infinity). Export it again."
        )
    notes = [*([missing] if missing else []), *mix.notes]
    if len(audio) >= _SHORTEST * sample_rate and (offset := _offset(audio, sample_rate)):
        audio -= np.float32(offset)
        notes.append(f"its samples are about {offset:+.1g} of full scale off zero (DC), which is taken away")
    return Recorded(torch.from_numpy(audio), tuple(notes))


def _mono(reader: SoundReader, mix: Mix, sample_rate: int) -> NDArray[np.float32]:
    rate = reader.file.samplerate
    if rate == sample_rate:
        pieces = [mix.of(block) for block in reader.blocks()]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    import soxr

    # block by block it gives the same samples as `soxr.resample` of the whole
    stream = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ")
    pieces = [stream.resample_chunk(mix.of(block)) for block in reader.blocks()]
    if not pieces:
        return np.zeros(0, np.float32)
    pieces.append(stream.resample_chunk(np.zeros(0, np.float32), last=True))
    return np.concatenate(pieces)


def resample(audio: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """Change the sample rate of audio (soxr, high quality).

    Args:
        audio: `[batch, samples]`.
        from_rate: Its rate in Hz.
        to_rate: The rate to have, in Hz.

    Returns:
        `[batch, about samples * to_rate / from_rate]`, on the same device; the audio itself where the rates are equal.
    """
    if from_rate == to_rate:
        return audio
    import soxr

    rows = audio.detach().cpu().numpy()
    changed = np.ascontiguousarray(soxr.resample(rows.T, from_rate, to_rate, quality="HQ").T)
    return torch.from_numpy(changed).to(audio)


def write_wav(path: str | Path, audio: Tensor, *, sample_rate: int, floating: bool = False) -> None:
    """Write a mono wav file, whole or not at all.

    Args:
        path: The file to write; its folder is made when missing.
        audio: `[samples]`, full scale at 1.
        sample_rate: In Hz.
        floating: Store 32-bit floats. Otherwise 16-bit numbers, where what exceeds full scale is clipped.

    Raises:
        ConfigError: The audio is not `[samples]`.
        OSError: The file cannot be written.
    """
    import soundfile

    if audio.ndim != 1:
        raise ConfigError(
            f"A wav file takes audio of shape [samples], not {list(audio.shape)}. Write each row by itself."
        )
    samples = audio.detach().cpu().float().numpy()
    buffer = io.BytesIO()
    if not floating:
        samples = samples.clip(-1.0, 1.0)
    soundfile.write(buffer, samples, sample_rate, format="WAV", subtype="FLOAT" if floating else "PCM_16")
    write_atomically(path, buffer.getvalue())


def _reason(error: Exception) -> str:
    # libsndfile's message repeats the path before its reason.
    return str(error).rsplit(": ", 1)[-1].rstrip(".")


def _offset(audio: NDArray[np.float32], sample_rate: int) -> float:
    """The constant that lies under a sound, where it is strong enough to matter: 0 where it is not."""
    offset = float(audio.mean(dtype=np.float64))
    power = float(np.dot(audio, audio)) / len(audio) - offset**2
    least = max(_OFFSET, 2.0 / (math.pi * _LOWEST_HZ * len(audio) / sample_rate) ** 2)
    return offset if abs(offset) > _LEAST_OFFSET and offset**2 > least * power else 0.0


# A constant of this power beside the sound (-40 dB) is taken away: silences would count as sound, which begins there.
_OFFSET = 1e-4
# The mean of a tone that breaks off anywhere has up to 2 / (pi cycles)^2 of its power: no more of a short sound's mean
# is a constant than what a tone of this pitch could not have.
_LOWEST_HZ = 30.0
# In less than so many seconds a mean may be any tone's own.
_SHORTEST = 0.1
# Under -80 dB of full scale it is a matter of rounding.
_LEAST_OFFSET = 1e-4
# A channel that has this much less power than the strongest is silent: 60 dB.
_SILENT = 1e-6
# The mean of n channels that have nothing in common has 1/n of their power; under half of that they cancel out.
_CANCELLED = 0.5
# Where that is so for this share of the sound (by power), one channel is taken.
_SHARE = 0.1
# Above this many channels, what cancels out is looked at over the whole recording, not second by second.
_MOST_BY_BLOCK = 16


@dataclass(frozen=True)
class Mix:
    """Which channels make the mono sound: the mean of these.

    Attributes:
        channels: Their numbers, from 0; none where no channel can be used.
        notes: What the user should know.
    """

    channels: tuple[int, ...]
    notes: tuple[str, ...] = ()

    def of(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mix samples `[samples, channels]` to `[samples]`."""
        if len(self.channels) == block.shape[1]:
            mixed = block.mean(axis=1)
        else:
            mixed = block[:, list(self.channels)].mean(axis=1)
        return np.ascontiguousarray(mixed, dtype=np.float32)


def choose_channels(blocks: Iterable[NDArray[np.float32]], *, sample_rate: int) -> Mix:
    """Look through a recording for the channels to use.

    Args:
        blocks: `[samples, channels]` each, together the recording.
        sample_rate: In Hz.
    """
    products: list[NDArray[np.float64]] = []
    whole: NDArray[np.bool_] | None = None
    for block in blocks:
        finite: NDArray[np.bool_] = np.asarray(np.isfinite(block).all(axis=0))
        whole = finite if whole is None else np.logical_and(whole, finite)
        for start in range(0, len(block), sample_rate):
            some = block[start : start + sample_rate].astype(np.float64)
            some = np.where(np.isfinite(some), some, 0.0)
            some -= some.mean(axis=0)  # a constant is no sound
            products.append(some.T @ some)
            if some.shape[1] > _MOST_BY_BLOCK and len(products) > 1:
                products = [products[0] + products[1]]
    if not products:
        return Mix(())
    return _choose(np.stack(products), np.asarray(whole))


def _choose(products: NDArray[np.float64], finite: NDArray[np.bool_]) -> Mix:
    count = len(finite)
    power = np.where(finite, np.diagonal(products, axis1=1, axis2=2).sum(axis=0), 0.0)
    notes = []
    if broken := [k for k in range(count) if not finite[k]]:
        notes.append(f"{_name(broken, count)} holds values that are no numbers (NaN or infinity), and is left out")
    used = [k for k in range(count) if finite[k]]
    if used and power.max() > 0.0:
        if silent := [k for k in used if power[k] <= _SILENT * power.max()]:
            notes.append(f"{_name(silent, count)} is silent, and is left out")
        used = [k for k in used if k not in silent]
    if len(used) > 1:
        some = products[:, used][:, :, used]
        mixed = some.sum(axis=(1, 2)) / len(used) ** 2
        mean = np.trace(some, axis1=1, axis2=2) / len(used)
        lost = mean[mixed < _CANCELLED * mean / len(used)].sum()
        if lost > _SHARE * mean.sum():
            loudest = used[int(np.argmax(power[used]))]
            notes.append(
                f"its {len(used)} channels cancel each other out, as when one is inverted: channel {loudest + 1}, the "
                "loudest, is used alone"
            )
            used = [loudest]
    return Mix(tuple(used), tuple(notes))


def _name(channels: list[int], count: int) -> str:
    if len(channels) == 1:
        return f"channel {channels[0] + 1} of {count}"
    return f"each of the channels {', '.join(str(k + 1) for k in channels)} of {count}"


def samples_at(source: object, sample_rate: int | None, *, wanted: int) -> Tensor:
    """Samples that somebody has, as float32 at another rate.

    Args:
        source: Real numbers `[samples]`: a tensor, an array or a list.
        sample_rate: Theirs, in Hz.
        wanted: The rate to give, in Hz.

    Raises:
        ValueError: They are no numbers, not mono, or come without their rate.
        DatasetError: There are none, or some are not finite.
        ConfigError: The rate is none.
    """
    if sample_rate is None:
        raise ValueError("samples need their sample_rate: model.synthesize(samples, sample_rate=44100)")
    samples = as_floats(source, name="source", like=torch.empty(0)).detach()
    refuse([whole_fault("sample_rate", sample_rate, least=1, most=10_000_000)])
    if samples.ndim != 1:
        raise ValueError(f"samples must be [samples], mono; found {list(samples.shape)}.")
    if samples.numel() == 0:
        raise DatasetError("There are no samples to synthesize from.")
    if not torch.isfinite(samples).all():
        raise DatasetError("The samples hold values that are no numbers (NaN or infinity). Take them out.")
    if sample_rate == wanted:
        return samples
    import soxr

    return torch.from_numpy(soxr.resample(samples.numpy(), sample_rate, wanted))
