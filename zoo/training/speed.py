"""How fast a model renders, against the sound's own duration: on one thread, as in a plugin's host."""

from __future__ import annotations

import time

import torch

from zoo.models.model import Model

_SECONDS = 4
_REPEATS = 7


@torch.no_grad()
def real_time_factors(model: Model, *, seconds: float = _SECONDS, repeats: int = _REPEATS) -> list[float]:
    """Time that rendering takes, divided by the duration of what is rendered: whole clips, one at a time.

    Args:
        model: On the device where it is to play.
        seconds: Of a clip.
        repeats: Clips that are timed, after one that is not.

    Returns:
        A factor for each clip; under 1 is faster than real time.
    """
    frames = max(1, round(seconds * model.sample_rate / model.hop))
    device = next(model.parameters()).device
    f0_hz = torch.full((1, frames), 440.0, device=device)
    loudness_db = torch.full((1, frames), -25.0, device=device)
    found = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the compiled loops keep to it too
    try:
        for _ in range(repeats + 1):
            begin = time.perf_counter()
            float(model(f0_hz, loudness_db).audio[0, 0])  # waits for a device that works by itself
            found.append((time.perf_counter() - begin) / (frames * model.hop / model.sample_rate))
    finally:
        torch.set_num_threads(threads)
    return found[1:]
