"""Causal convolutions as long as the signal, a kernel for each channel: what state space models spend their time on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from zoo_kernels._threads import over_blocks
from zoo_kernels.fft import fast_fft_size

_BLOCK = 1 << 17  # padded samples: a block and its spectrum stay in a core's second-level cache


def causal_convolution(u: Tensor, kernel: Tensor) -> Tensor:
    """Convolve each channel with its own kernel, by FFT: `y[t] = sum over s = 0..t of kernel[s] u[t - s]`.

    On a CPU it takes a few channels at a time, so that padding and spectra never leave the cache; one pass over all
    channels at once takes three times as long, most of it for fresh memory. Spectra are formed again on the way back
    rather than kept.

    Example:
        >>> causal_convolution(torch.randn(2, 512, 1000), torch.randn(512, 1000)).shape
        torch.Size([2, 512, 1000])

    Args:
        u: `[batch, channels, samples]`, float32 or float64.
        kernel: `[channels, samples]`, of the same dtype.

    Returns:
        `[batch, channels, samples]`, with gradients for both arguments.

    Raises:
        ValueError: Shapes, dtypes or devices that do not fit.
    """
    if u.ndim != 3 or kernel.shape != u.shape[1:]:
        raise ValueError(
            "u must be [batch, channels, samples] and kernel [channels, samples]; "
            f"they are {list(u.shape)} and {list(kernel.shape)}."
        )
    for name, tensor in (("u", u), ("kernel", kernel)):
        if tensor.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"{name} must be float32 or float64, and is {tensor.dtype}.")
    if u.dtype != kernel.dtype or u.device != kernel.device:
        raise ValueError(
            f"u is {u.dtype} on {u.device} and kernel {kernel.dtype} on {kernel.device}: convert one of them."
        )
    if u.numel() == 0:
        return u * kernel
    out: Tensor = _Convolution.apply(u, kernel)
    return out


def _over_channels(block: Callable[[slice], None], u: Tensor, size: int) -> None:
    batch, channels, _ = u.shape
    on_cpu = u.device.type == "cpu"
    over_blocks(block, channels, step=max(1, _BLOCK // (batch * size)) if on_cpu else channels, on_cpu=on_cpu)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, kernel: Tensor) -> Tensor:  # noqa: ANN401 - torch's context
        ctx.save_for_backward(u, kernel)
        u, kernel = u.detach(), kernel.detach()
        samples = u.shape[-1]
        size = fast_fft_size(2 * samples - 1)
        out = torch.empty(u.shape, dtype=u.dtype, device=u.device)

        def block(part: slice) -> None:
            spectrum = torch.fft.rfft(u[:, part], size).mul_(torch.fft.rfft(kernel[part], size))
            out[:, part] = torch.fft.irfft(spectrum, size)[..., :samples]

        _over_channels(block, u, size)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:  # noqa: ANN401 - torch's context
        u, kernel = (tensor.detach() for tensor in ctx.saved_tensors)
        grad = grad.detach()
        samples = u.shape[-1]
        size = fast_fft_size(2 * samples - 1)
        grad_u = torch.empty(u.shape, dtype=u.dtype, device=u.device) if ctx.needs_input_grad[0] else None
        grad_kernel = torch.empty_like(kernel) if ctx.needs_input_grad[1] else None

        def block(part: slice) -> None:
            incoming = torch.fft.rfft(grad[:, part], size)
            if grad_kernel is not None:
                products = torch.fft.rfft(u[:, part], size).conj_physical_().mul_(incoming).sum(dim=0)
                grad_kernel[part] = torch.fft.irfft(products, size)[..., :samples]
            if grad_u is not None:
                incoming.mul_(torch.fft.rfft(kernel[part], size).conj_physical_())
                grad_u[:, part] = torch.fft.irfft(incoming, size)[..., :samples]

        _over_channels(block, u, size)
        return grad_u, grad_kernel
