"""What every runtime of an export must do with a clip: play it to its last sample, and the next one like a first."""

import numpy as np
import torch


@torch.no_grad()
def check_clip(runtime, model, *, frames):
    curves = np.full(frames, 440, np.float32), np.full(frames, -20, np.float32)
    noise = np.zeros(frames * model.hop, np.float32)
    expected = model(*(curve[None] for curve in curves), noise[None]).audio[0].numpy()
    for _ in range(2):  # the second begins anew
        played = np.concatenate([runtime.process(*curves, noise), runtime.finish()])
        np.testing.assert_allclose(played[runtime.latency :], expected, atol=1e-5)
    assert np.abs(expected[-64:]).max() > 1e-3
