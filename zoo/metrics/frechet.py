"""Fréchet distances between two sets of sounds: over log-mel frames, and over a network's view of them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from zoo.errors import ConfigError
from zoo.features.audio import resample
from zoo.metrics import mel
from zoo.metrics.embedding import EMBEDDING_RATE, load_embedding
from zoo.metrics.sets import Gaussian, rows_of, set_metric


@set_metric
def frechet_log_mel(
    audio: Tensor,
    *,
    sample_rate: int,
    mels: int = mel.MELS,
    n_fft: int = mel.N_FFT,
    hop: int = mel.HOP,
    floor_db: float = mel.FLOOR_DB,
    valid_samples: Tensor | None = None,
) -> Gaussian:
    """Measure the squared Fréchet distance between the log-mel frames of two sets: `frechet_log_mel(a, b, ...)`.

    All frames of all rows of a set are one distribution, so it is not told which clip became which, nor when: it says
    whether a set has the timbres and levels of the other. This is not the Fréchet audio distance, which looks at sounds
    through a trained network: see `frechet_audio_distance`.

    Args:
        audio: `[batch, samples]`; two of them, `a` and `b`, where it is called.
        sample_rate: In Hz.
        mels: How many bands.
        n_fft: Samples in a window.
        hop: Samples from frame to frame.
        floor_db: Lowest level in dB.
        valid_samples: int64 `[batch]`: a row ends there. None: all are whole.

    Returns:
        A scalar, in dB squared. (The function that is decorated gives one set's distribution.)

    Raises:
        ConfigError: The signals do not agree, or the bands are too narrow for the window.
    """
    frames = [
        mel.log_mel(row, sample_rate=sample_rate, mels=mels, n_fft=n_fft, hop=hop, floor_db=floor_db)[0].T
        for row in rows_of(audio, valid_samples)
    ]
    return Gaussian.of(torch.cat(frames) if frames else audio.new_zeros(0, mels))


@set_metric
def frechet_audio_distance(
    audio: Tensor,
    *,
    sample_rate: int,
    weights: str | Path | None = None,
    embedding_rate: int = EMBEDDING_RATE,
    valid_samples: Tensor | None = None,
) -> Gaussian:
    """Measure the squared Fréchet distance between two sets as a trained network sees them, with weights that you give.

    Numbers can be compared only where the network is the same. A set of fewer vectors than a vector has numbers gives
    a distance that says more of the set's size than of its sounds.

    Args:
        audio: `[batch, samples]`; two of them, `a` and `b`, where it is called.
        sample_rate: In Hz.
        weights: The network: VGGish as a `.safetensors` file, or any network as a TorchScript file; see
            `zoo.metrics.embedding`. zoo brings none.
        embedding_rate: The sample rate that a TorchScript network takes, in Hz.
        valid_samples: int64 `[batch]`: a row ends there. None: all are whole.

    Returns:
        A scalar. (The function that is decorated gives one set's distribution.)

    Raises:
        ConfigError: No weights are given, they are no such network, or the signals do not agree.

    Source: Kilgour, Zuluaga, Roblek, Sharifi, "Fréchet Audio Distance: a reference-free metric for evaluating music
    enhancement algorithms", Interspeech 2019.
    """
    if weights is None:
        raise ConfigError(
            "The Fréchet audio distance looks at sounds through a trained network, and zoo brings none. Give its file: "
            "weights='vggish.safetensors' (VGGish) or weights='network.pt' (TorchScript). Without one there is "
            "frechet_log_mel."
        )
    embed = load_embedding(Path(weights), rate=embedding_rate)
    vectors = [embed(resample(row.float(), sample_rate, embed.rate)) for row in rows_of(audio, valid_samples)]
    return Gaussian.of(torch.cat(vectors) if vectors else torch.zeros(0, 1))
