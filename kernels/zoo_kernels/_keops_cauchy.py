"""The Cauchy sum by KeOps.

With p = 1 / (z - w) and q = 1 / (z - conj(w)) a term is `Re(v) A + Im(v) B`, where A = p + q and B = i (p - q). Its
slope in z is minus `Re(v) A' + Im(v) B'`, where A' = p^2 + q^2 and B' = i (p^2 - q^2). Four numerators share the work
of a denominator; fewer are filled up with zeros, so that one compiled formula serves every number of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo_kernels._keops import Formula, named

_TOGETHER = 4  # numerators in a term

# z = x + iy after the pole's real part is subtracted; the pole's imaginary part is b. `pi` and `qi` are minus the
# imaginary parts of p and q, `ei` is that of p q = 1 / ((z - w)(z - conj(w))): all differences, nothing expanded.
_FRACTIONS = {
    "x": "Elem(z,0)-Elem(w,0)",
    "y": "Elem(z,1)",
    "b": "Elem(w,1)",
    "below": "y-b",
    "above": "y+b",
    "pscale": "Inv(Square(x)+Square(below))",
    "qscale": "Inv(Square(x)+Square(above))",
    "pr": "x*pscale",
    "pi": "below*pscale",
    "qr": "x*qscale",
    "qi": "above*qscale",
    "er": "pr*qr-pi*qi",
    "ei": "pr*qi+pi*qr",
}
# Halves of A = 2 (z - Re w) p q and B = -2 Im(w) p q.
_TERMS = {"ar": "x*er+y*ei", "ai": "y*er-x*ei", "br": "-(b*er)", "bi": "b*ei"}
_SLOPES = {
    "ppr": "Square(pr)-Square(pi)",
    "ppi": "IntCst(2)*(pr*pi)",
    "qqr": "Square(qr)-Square(qi)",
    "qqi": "IntCst(2)*(qr*qi)",
    "sr": "ppr+qqr",
    "si": "-(ppi+qqi)",
    "tr": "ppi-qqi",
    "ti": "ppr-qqr",
}

_NUMERATORS = (f"re=Vj({_TOGETHER})", f"im=Vj({_TOGETHER})")

# At each node, over the poles: the sum, and minus its slope in z; as pairs of real and imaginary part.
_sums = Formula(
    named("TensorProd(re,Concat(ar,ai))+TensorProd(im,Concat(br,bi))", **_FRACTIONS, **_TERMS),
    "z=Vi(2)",
    "w=Vj(2)",
    *_NUMERATORS,
    cost_ns=6,
)
_slopes = Formula(
    named("TensorProd(re,Concat(sr,si))+TensorProd(im,Concat(tr,ti))", **_FRACTIONS, **_SLOPES),
    "z=Vi(2)",
    "w=Vj(2)",
    *_NUMERATORS,
    cost_ns=6,
)
# At each pole, over the nodes: Re(conj(g) A) and Re(conj(g) B), halves of the gradients of Re(v) and Im(v); and the
# same of A' and B'.
_at_poles = Formula(
    named(
        "TensorProd(re,Concat(Concat(ar,br),Concat(sr,tr)))+TensorProd(im,Concat(Concat(ai,bi),Concat(si,ti)))",
        **_FRACTIONS,
        **_TERMS,
        **_SLOPES,
    ),
    "z=Vj(2)",
    "w=Vi(2)",
    *_NUMERATORS,
    cost_ns=6,
)


def _groups(v: Tensor) -> Iterator[slice]:
    for first in range(0, v.shape[0], _TOGETHER):
        yield slice(first, first + _TOGETHER)


def _parts(x: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary parts of up to four: complex `[m, H, K]` to two of real `[H, K, 4]`."""
    missing = _TOGETHER - x.shape[0]
    real, imag = (F.pad(part.permute(1, 2, 0), (0, missing)).contiguous() for part in (x.real, x.imag))
    return real, imag


def _joined(pairs: Tensor, count: int) -> Tensor:
    """The way back: real `[H, K, 8]` or `[H, K, 4, 2]` to complex `[count, H, K]`."""
    joined = torch.view_as_complex(pairs.reshape(*pairs.shape[:2], _TOGETHER, 2))
    return joined[..., :count].permute(2, 0, 1)


def _nodes_and_poles(z: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    return torch.view_as_real(z)[None], torch.view_as_real(w)


def forward(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
    """Add up the fractions; arguments and result as in `_torch_cauchy.forward`."""
    shared = _nodes_and_poles(z, w)
    out = v.new_empty(*v.shape[:2], z.shape[0])
    for group in _groups(v):
        some = v[group]
        out[group] = _joined(_sums(*shared, *_parts(2 * some)), len(some))
    return out


def backward(
    v: Tensor, z: Tensor, w: Tensor, grad: Tensor, need_v: bool, need_z: bool, need_w: bool
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of a real loss; arguments and results as in `_torch_cauchy.backward`."""
    shared = _nodes_and_poles(z, w)
    grad_v, grad_z, grad_w = torch.empty_like(v), torch.zeros_like(z), torch.zeros_like(w)
    for group in _groups(v):
        some, incoming = v[group], grad[group]
        if need_v or need_w:
            along = _at_poles(*shared, *_parts(incoming)).reshape(*w.shape, _TOGETHER, 4)
            grad_v[group] = 2 * _joined(along[..., :2], len(some))
            grad_w += (some.conj() * _joined(along[..., 2:], len(some))).sum(dim=0)
        if need_z:
            slope = _joined(_slopes(*shared, *_parts(some)), len(some))
            grad_z -= (incoming * slope.conj()).sum(dim=(0, 1))
    return grad_v if need_v else None, grad_z if need_z else None, grad_w if need_w else None
