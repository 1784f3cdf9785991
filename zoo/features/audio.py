"""Recordings in and out: any format and rate that libsndfile reads, mono out of any number of channels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.errors import ConfigError, DatasetError
from zoo.files import write_atomically

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


def read_audio(path: str | Path, *, sample_rate: int) -> Tensor:
    """Read a recording as mono at the given rate.

    >>> read_audio("flute.flac", sample_rate=16000).shape  # doctest: +SKIP
    torch.Size([48000])

    Args:
        path: A file that libsndfile reads: wav, flac, ogg, mp3 and others. Channels are averaged.
        sample_rate: Rate of the result in Hz; the recording is resampled to it.

    Returns:
        float32 `[samples]`, full scale at 1.

    Raises:
        DatasetError: There is no such file, it cannot be read, is empty, or holds values that are no numbers.
    """
    import soundfile

    path = Path(path)
    if not path.is_file():
        what = "It is a folder" if path.is_dir() else "There is no such file"
        raise DatasetError(f"{path}: cannot be read as a recording. {what}: give the path of an audio file.")
    if path.stat().st_size == 0:
        raise DatasetError(f"{path}: the file is empty (0 bytes). Get it again, or remove it.")
    try:
        found, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise DatasetError(
            f"{path}: cannot be read as audio ({_reason(error)}). Known formats: wav, flac, ogg, mp3; "
            "convert others first, for example with ffmpeg."
        ) from error
    if len(found) == 0:
        raise DatasetError(f"{path}: the recording is empty (no samples). Get it again, or remove it.")
    if not np.isfinite(found).all():
        raise DatasetError(
            f"{path}: the recording holds values that are no numbers (NaN or infinity). Export it again."
        )
    audio = torch.from_numpy(found.mean(axis=1))
    return resample(audio[None], rate, sample_rate)[0]


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
