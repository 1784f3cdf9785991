"""Pitch and loudness as the player library hears them live, on recordings: data for models that are to be played live.

The values are those that `zoo_player.Live` would have, by the same code; a recording can look ahead, so each is put at
the moment that it belongs to.
"""

from __future__ import annotations

import torch
import zoo_player
from torch import Tensor

from zoo.errors import ConfigError
from zoo.features.framing import check_audio, frame_count
from zoo.features.loudness import loudness
from zoo.features.pitch import tracker

_VOICED = 0.5
"""The confidence from which a frame is voiced: which ones are, the player has decided."""


@tracker(voicing_threshold=_VOICED, min_confidence=0.8)
def live_pitch(
    audio: Tensor, *, sample_rate: int, hop: int, fmin: float = 50.0, fmax: float = 2000.0, center: bool = False
) -> tuple[Tensor, Tensor]:
    """Track pitch as the player hears it live; see `track_pitch`.

    `fmin` should be just under the instrument's lowest note, as the player's is.
    """
    f0_hz, _, sure = _heard(audio, "pitch", sample_rate=sample_rate, hop=hop, center=center, fmin=fmin, fmax=fmax)
    return f0_hz, torch.where(f0_hz > 0, sure.clamp(min=_VOICED), sure.clamp(max=0.99 * _VOICED))


@loudness(definition="A-weighted power in dB of full scale, -80 to 0, as the player hears it live: of the 40 ms before")
def live_loudness(audio: Tensor, *, sample_rate: int, hop: int, center: bool = True) -> Tensor:
    """Measure the A-weighted level as the player does live.

    Args:
        audio: `[batch, samples]`.
        sample_rate: In Hz.
        hop: Samples per frame.
        center: Whether frame t belongs to sample `t * hop`; otherwise its window begins there.

    Returns:
        `[batch, samples // hop]` in dB, -80 to 0.

    Raises:
        ConfigError: The audio is not `[batch, samples]`, or the rate or the hop is out of the player's range.
    """
    fmin = sample_rate / 100  # of a pitch that is not asked for: a short window
    options = {"fmin": fmin, "fmax": 2 * fmin}
    return _heard(audio, "loudness", sample_rate=sample_rate, hop=hop, center=center, **options)[1]


def _heard(
    audio: Tensor, moment: str, *, sample_rate: int, hop: int, center: bool, **options: float
) -> tuple[Tensor, Tensor, Tensor]:
    check_audio(audio, sample_rate=sample_rate, hop=hop)
    frames = frame_count(audio.shape[-1], hop)
    try:
        late = zoo_player.live_features_latency(sample_rate=sample_rate, hop=hop, **options)[moment]
        # A frame's values are known at its end, and belong to `late` samples before; without `center` to twice as many.
        shift = max(0, round((late if center else 2 * late) / hop) - 1)
        padded = torch.nn.functional.pad(audio.detach(), (0, shift * hop)).cpu().float().numpy()
        rows = [zoo_player.live_features(row, sample_rate=sample_rate, hop=hop, **options) for row in padded]
    except zoo_player.PlayerError as error:
        raise ConfigError(f"Features as heard live: {error}.") from None
    if not rows:
        return (audio.new_zeros((0, frames)),) * 3
    pitch, level, sure = (
        torch.stack([torch.from_numpy(row[part][shift : shift + frames]) for row in rows]).to(audio)
        for part in range(3)
    )
    return pitch, level, sure
