"""The Vandermonde product by KeOps.

With l = 32 i + j a power is exp(32 w i) exp(w j). The 32 factors exp(w j) of an exponent are made outside, in float64;
KeOps forms exp(32 w i) from i, and takes the 32 steps of a block as one vector. Its phase keeps its digits in float32
too: counted in turns, one block's share of it is split in two, such that the large part times i is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo_kernels._keops import Formula, named
from zoo_kernels._torch_vandermonde import _powers

_BLOCK = 32  # steps
_BITS = 12  # of the large part of a turn, and of i: their product fits float32's 24
_SPAN = _BLOCK << _BITS  # steps that i can count

# For one exponent: `block` is i, `w` what `_exponents` gives; exp(32 w i) = c + is.
_POWER = {
    "turns": "Elem(w,1)*block",
    "angle": "Elem(w,3)*(turns-Round(turns,0)+Elem(w,2)*block)",
    "size": "Exp(Elem(w,0)*block)",
    "c": "size*Cos(angle)",
    "s": "size*Sin(angle)",
}

# At each block, over the exponents: the real parts of v exp(w l) for its steps.
_sums = Formula(
    named(
        f"real*Extract(factors,0,{_BLOCK})-imag*Extract(factors,{_BLOCK},{_BLOCK})",
        **_POWER,
        real="Elem(v,0)*c-Elem(v,1)*s",
        imag="Elem(v,0)*s+Elem(v,1)*c",
    ),
    "block=Vi(1)",
    "w=Vj(4)",
    "v=Vj(2)",
    f"factors=Vj({2 * _BLOCK})",
    cost_ns=40,
)
# At each exponent, over the blocks: the sums of g exp(w l) and of g l exp(w l). `factors` holds for each step of a
# block real and imaginary part of exp(w j) and of j exp(w j).
_at_exponents = Formula(
    named(
        "Concat(Concat(real,imag),Concat(start*real+(c*jr-s*ji),start*imag+(c*ji+s*jr)))",
        **_POWER,
        within="VecMatMult(g,factors)",
        gr="Elem(within,0)",
        gi="Elem(within,1)",
        jr="Elem(within,2)",
        ji="Elem(within,3)",
        real="c*gr-s*gi",
        imag="c*gi+s*gr",
        start=f"IntCst({_BLOCK})*block",
    ),
    "block=Vj(1)",
    "w=Vi(4)",
    f"g=Vj({_BLOCK})",
    f"factors=Vi({4 * _BLOCK})",
    cost_ns=50,
)


def _exponents(w: Tensor) -> Tensor:
    """For KeOps: `[1, H, N, 4]`, a block's decay, its turns in two parts, and what a turn is."""
    w = w.to(torch.complex128) * _BLOCK
    turns = w.imag / (2 * math.pi)
    turns = turns - turns.round()
    large = (turns * (1 << _BITS)).round() / (1 << _BITS)
    return torch.stack([w.real, large, turns - large, torch.full_like(turns, 2 * math.pi)], dim=-1)[None]


def _factors(w: Tensor) -> Tensor:
    """exp(w j) for the steps of a block: `[1, H, N, 32]`."""
    return _powers(torch.exp(w.to(torch.complex128)), _BLOCK)[None]


def _spans(length: int) -> Iterator[tuple[int, int]]:
    """The ranges of steps that are computed at once: all of them, unless there are very many."""
    for start in range(0, length, _SPAN):
        yield start, min(length, start + _SPAN)


def _blocks(steps: int, like: Tensor) -> Tensor:
    """The numbers of the blocks that so many steps make: `[1, 1, I, 1]`."""
    return torch.arange(-(-steps // _BLOCK), dtype=like.dtype, device=like.device)[:, None][None, None]


def forward(v: Tensor, w: Tensor, length: int) -> Tensor:
    """Add up the exponentials; arguments and result as in `_torch_vandermonde.forward`."""
    exponents = _exponents(w).to(v.real.dtype)
    factors = _factors(w)
    factors = torch.cat([factors.real, factors.imag], dim=-1).to(v.real.dtype)
    found = []
    for start, stop in _spans(length):
        weights = 2 * v * torch.exp(w.to(torch.complex128) * start)
        weights = torch.view_as_real(weights.to(v.dtype))
        sums = _sums(_blocks(stop - start, weights), exponents, weights, factors)
        found.append(sums.flatten(-2)[..., : stop - start])
    return torch.cat(found, dim=-1) if len(found) > 1 else found[0].contiguous()


def backward(v: Tensor, w: Tensor, grad: Tensor, need_v: bool, need_w: bool) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of a real loss; arguments and results as in `_torch_vandermonde.backward`."""
    exponents = _exponents(w).to(grad.dtype)
    factors = torch.view_as_real(_factors(w))  # [1, H, N, 32, 2]
    steps = torch.arange(_BLOCK, dtype=factors.dtype, device=w.device)[:, None]
    factors = torch.cat([factors, factors * steps], dim=-1).flatten(-2).to(grad.dtype)
    precise = w.to(torch.complex128)
    plain = stepped = torch.zeros_like(v, dtype=precise.dtype)  # the sums of g exp(w l) and of g l exp(w l)
    for start, stop in _spans(grad.shape[-1]):
        part = F.pad(grad[..., start:stop], (0, (start - stop) % _BLOCK)).reshape(*v.shape[:2], -1, _BLOCK)
        sums = _at_exponents(_blocks(stop - start, part), exponents, part, factors)
        sums = torch.view_as_complex(sums.double().reshape(*v.shape, 2, 2))
        moved = torch.exp(precise * start)
        plain = plain + moved * sums[..., 0]
        stepped = stepped + moved * (sums[..., 1] + start * sums[..., 0])
    grad_v = (2 * plain).conj().resolve_conj().to(v.dtype) if need_v else None
    grad_w = (2 * v * stepped).sum(dim=0).conj().resolve_conj().to(w.dtype) if need_w else None
    return grad_v, grad_w
