"""A distillation step as one writes it down from the papers: what `distill_step.py` measures against.

The decoders are zoo's own. All else is computed plainly: the teacher runs at every step, the sines are a tensor
`[batch, samples, harmonics]`, noise and reverb are FFT convolutions of twice the length, and each criterion takes
`torch.stft` of both of its signals at every size, with autograd.

    python benchmarks/plain_step.py gru-L gru-S
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.losses import FFT_SIZES
from zoo.models.creating import create
from zoo.models.model import Model

EPSILON = 1e-7


def scale(x: Tensor) -> Tensor:
    """A raw control as a gain."""
    return 2 * torch.sigmoid(x) ** math.log(10) + EPSILON


def sines(f0_hz: Tensor, amplitude: Tensor, distribution: Tensor, *, sample_rate: int, hop: int) -> Tensor:
    """A bank of sines, all of them at every sample."""
    harmonics = torch.arange(1, distribution.shape[-1] + 1, dtype=f0_hz.dtype)
    audible = (f0_hz[..., None] * harmonics < sample_rate / 2).to(f0_hz) + 1e-4
    distribution = distribution * audible
    amplitudes = amplitude * distribution / distribution.sum(-1, keepdim=True)
    amplitudes = amplitudes.repeat_interleave(hop, dim=1)
    f0_hz = F.interpolate(f0_hz[:, None], scale_factor=hop, mode="linear")[:, 0]
    phase = torch.cumsum(2 * math.pi * f0_hz / sample_rate, dim=-1)
    return (torch.sin(phase[..., None] * harmonics) * amplitudes).sum(-1)


def filtered_noise(magnitudes: Tensor, *, hop: int) -> Tensor:
    """Noise through each frame's filter, by FFT, frames added where they overlap."""
    batch, frames, bands = magnitudes.shape
    taps = 2 * (bands - 1)
    impulse = torch.fft.irfft(magnitudes, n=taps).roll(taps // 2, -1) * torch.hann_window(taps)
    noise = torch.rand(batch, frames, hop) * 2 - 1
    size = 2 * taps
    filtered = torch.fft.irfft(torch.fft.rfft(noise, n=size) * torch.fft.rfft(impulse, n=size), n=size)
    added = F.fold(
        filtered.transpose(1, 2), (1, (frames - 1) * hop + size), kernel_size=(1, size), stride=(1, hop)
    ).flatten(1)
    return added[:, taps // 2 : taps // 2 + frames * hop]


def reverb(audio: Tensor, module: nn.Module) -> Tensor:
    """A convolution as long as the signal, by an FFT of twice its length."""
    samples = audio.shape[-1]
    impulse: Tensor = module.impulse()
    impulse = F.pad(impulse, (0, samples - impulse.shape[-1]))
    size = 2 * samples
    return torch.fft.irfft(torch.fft.rfft(audio, n=size) * torch.fft.rfft(impulse, n=size), n=size)[..., :samples]


def play(model: Model, f0_hz: Tensor, loudness_db: Tensor) -> tuple[Tensor, Tensor]:
    """What a model of the harmonic-plus-noise synth makes of features: audio, and audio before the reverb."""
    controls = model.decode(f0_hz, loudness_db).controls
    harmonic = sines(
        f0_hz,
        scale(controls["amplitude"]),
        scale(controls["harmonic_distribution"]),
        sample_rate=model.sample_rate,
        hop=model.hop,
    )
    dry = harmonic + filtered_noise(scale(controls["noise_bands"]), hop=model.hop)
    module = getattr(model.synth, "reverb", None)
    return (reverb(dry, module) if module is not None else dry), dry


def distance(a: Tensor, b: Tensor) -> Tensor:
    """The multi-scale spectral distance, as it is written down."""
    total = a.new_zeros(())
    for size in FFT_SIZES:
        window = torch.hann_window(size)
        x, y = (
            torch.stft(s, size, size // 4, window=window, normalized=True, return_complex=True).abs() for s in (a, b)
        )
        total = total + (x - y).abs().mean() + (torch.log(x + EPSILON) - torch.log(y + EPSILON)).abs().mean()
    return total


class PlainStep:
    """A step of distillation, from features to the optimizer.

    Args:
        teacher: A frozen model.
        student: The model in training.
    """

    def __init__(self, teacher: Model, student: Model) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self.student = student.train()
        self.optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3)
        # A teacher's second of reverb is compared before it, as zoo does.
        lengths = [sum(p.numel() for p in m.synth.parameters()) for m in (teacher, student)]
        self.dry = lengths[0] != lengths[1]

    def __call__(self, batch: Mapping[str, Tensor]) -> float:
        """Take the step."""
        with torch.no_grad():
            target = play(self.teacher, batch["f0_hz"], batch["loudness_db"])[self.dry]
        made = play_any(self.student, batch["f0_hz"], batch["loudness_db"])
        loss = 0.5 * distance(made[0], batch["audio"]) + 0.5 * distance(made[self.dry], target)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 3.0)
        self.optimizer.step()
        return float(loss.detach())


def operators(f0_hz: Tensor, raw: Tensor, model: Model) -> Tensor:
    """The sines of the plugin zoo-ddx7's synth, one after the other, at every sample."""
    synth, hop = model.synth, model.hop
    levels = F.interpolate((synth.max_ol * torch.sigmoid(raw)).transpose(1, 2), scale_factor=hop, mode="linear")
    f0_hz = F.interpolate(f0_hz[:, None], scale_factor=hop, mode="linear")[:, 0]
    phase = torch.cumsum(2 * math.pi * f0_hz / model.sample_rate, dim=-1)
    outputs: dict[int, Tensor] = {}
    for number in synth.graph.order:
        angle = synth.ratios[number] * phase
        for modulator in synth.graph.modulators[number]:
            angle = angle + 2 * math.pi * outputs[modulator]
        outputs[number] = levels[:, number] * torch.sin(angle)
    return torch.stack([outputs[number] for number in synth.graph.carriers]).sum(dim=0) / synth.max_ol


def play_any(model: Model, f0_hz: Tensor, loudness_db: Tensor) -> tuple[Tensor, Tensor]:
    """`play`, or the same for FM; for any other synth the model itself."""
    if model.config.synth.name == "harmonic_noise":
        return play(model, f0_hz, loudness_db)
    if model.config.synth.name == "ddx7":
        raw = model.decode(f0_hz, loudness_db).controls["ol"]
        dry = operators(f0_hz, raw, model)
        return reverb(dry, model.synth.reverb), dry
    made = model(f0_hz, loudness_db)
    return made.audio, made.dry


def melody(batch_size: int, frames: int, hop: int) -> dict[str, Tensor]:
    """A batch of long notes: what sines cost depends on how many harmonics lie below Nyquist."""
    notes = 200 + 300 * torch.rand(batch_size, -(-frames // 125))
    return {
        "f0_hz": notes.repeat_interleave(125, dim=1)[:, :frames],
        "loudness_db": -60 + 50 * torch.rand(batch_size, frames),
        "audio": 0.2 * torch.randn(batch_size, frames * hop),
        "valid_frames": torch.full((batch_size,), frames),
    }


def main() -> None:
    """Time steps of one pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", help="an architecture, e.g. gru-L")
    parser.add_argument("student", help="an architecture, e.g. gru-S")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a segment")
    parser.add_argument("--steps", type=int, default=3, help="to take the median of")
    options = parser.parse_args()
    torch.manual_seed(0)
    student = create(options.student)
    step = PlainStep(create(options.teacher), student)
    batch = melody(options.batch_size, round(options.seconds * student.sample_rate / student.hop), student.hop)
    times = []
    for _ in range(options.steps + 1):
        begin = time.perf_counter()
        step(batch)
        times.append(time.perf_counter() - begin)
    print(f"{options.teacher} to {options.student}: {statistics.median(times[1:]):.2f} s a step")


if __name__ == "__main__":
    main()
