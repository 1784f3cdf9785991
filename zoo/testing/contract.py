"""What all checks share: saying what is promised and what was found, and the promises of every network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from safetensors import torch as safetensors_torch
from torch import Tensor, nn

from zoo.errors import listing
from zoo.registry import Registry
from zoo.storage.initialisation import SkipInit

Network = TypeVar("Network", bound=nn.Module)

TOLERANCE = 1e-4
"""How far two ways to the same values may be apart."""


class Subject:
    """The component under test.

    Args:
        kind: Its kind's registry.
        component: Its registered name, or the class or function itself.

    Attributes:
        component: The class or function.
        label: What messages call it.
    """

    def __init__(self, kind: Registry, component: str | Callable[..., Any]) -> None:
        if isinstance(component, str):
            self.component: Callable[..., Any] = kind.get(component)
            self.label = f"The {kind.singular} {component!r} ({self.component.__module__})"
        else:
            self.component = component
            self.label = f"The {kind.singular} {getattr(component, '__qualname__', component)}"

    def require(self, holds: bool, promise: str, found: object) -> None:
        """Go on if what its kind promises holds.

        Raises:
            AssertionError: It does not; it says what is promised, and what was found.
        """
        if not holds:
            raise AssertionError(f"{self.label} breaks a promise of its kind. Promised: {promise} Found: {found}")

    @contextmanager
    def promises(self, promise: str) -> Iterator[None]:
        """Run what must not raise; an error within is a broken promise."""
        try:
            yield
        except AssertionError:
            raise
        except Exception as error:
            raise AssertionError(
                f"{self.label} breaks a promise of its kind. Promised: {promise} Found: {type(error).__name__}: {error}"
            ) from error

    def require_tensor(self, value: object, shape: tuple[int, ...], what: str, dtype: torch.dtype) -> None:
        """Go on if `value` is a finite tensor of that shape and dtype."""
        if not isinstance(value, Tensor):
            self.require(False, f"{what} is a tensor {list(shape)}.", type(value).__name__)
            return
        self.require(tuple(value.shape) == shape, f"{what} is {list(shape)}.", list(value.shape))
        self.require(
            value.dtype == dtype, f"{what} has the dtype of the inputs and parameters, {dtype}.", str(value.dtype)
        )
        bad = int((~torch.isfinite(value)).sum())
        self.require(bad == 0, f"{what} is finite.", f"{bad} of {value.numel()} values are NaN or infinite")

    def require_close(self, found: Tensor, expected: Tensor, promise: str, *, atol: float = TOLERANCE) -> None:
        """Go on if two tensors are alike to `atol`."""
        self.require(found.shape == expected.shape, promise, f"{list(found.shape)} and {list(expected.shape)}")
        apart = float((found - expected).detach().abs().max()) if found.numel() else 0.0
        self.require(apart <= atol, promise, f"they are {apart:.3g} apart, allowed {atol:.0e}")


@contextmanager
def trial() -> Iterator[None]:
    """A check's own random numbers, which are the same each time, and one thread: what is checked is small.

    More threads would wait for each other longer than they compute, much longer where other processes run.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            yield
    finally:
        torch.set_num_threads(threads)


def check_gradients(subject: Subject, module: nn.Module, *, of: str) -> None:
    """Make sure that every parameter of a module has got a finite gradient.

    Args:
        subject: Whom to blame.
        module: After `backward`.
        of: What was differentiated, for the message.
    """
    wanted = {name: p for name, p in module.named_parameters() if p.requires_grad}
    without = [name for name, parameter in wanted.items() if parameter.grad is None]
    subject.require(
        not without, f"{of} has a gradient for every parameter that requires one.", f"none for {listing(without)}"
    )
    broken = [name for name, p in wanted.items() if p.grad is not None and not torch.isfinite(p.grad).all()]
    subject.require(not broken, f"The gradients of {of} are finite.", f"NaN or infinite for {listing(broken)}")


def reloaded(subject: Subject, module: Network, build: Callable[[], Network]) -> Network:
    """Save a module's weights and load them into a new one, as `zoo.save` and `zoo.load` do.

    Args:
        subject: Whom to blame.
        module: What is saved.
        build: Builds another like it.

    Returns:
        The new one, in eval mode.
    """
    promise = "Its state_dict, saved as safetensors, loads into another one that is built with the same options."
    with subject.promises(promise):
        saved = safetensors_torch.save(
            {name: tensor.detach().contiguous() for name, tensor in module.state_dict().items()}
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(4711)  # nothing may be as it was by drawing the same numbers again
            try:
                with SkipInit():
                    other = build()
            except Exception:  # noqa: BLE001 - a constructor that computes with its weights needs real ones, as in load
                other = build()
        other.load_state_dict(safetensors_torch.load(saved))
    return other.eval()


def instance_of(
    subject: Subject, base: type[nn.Module], arguments: Mapping[str, Any], promise: str
) -> Callable[[], Any]:
    """What builds the component, once it is known that it can be built and derives from its kind's class."""

    def build() -> Any:  # noqa: ANN401 - a component of any kind
        return subject.component(**arguments)

    with subject.promises(promise):
        built = build()
    subject.require(
        isinstance(built, base),
        f"It derives from {base.__module__.removesuffix('.base')}.{base.__name__}.",
        type(built).__mro__[1:-1],
    )
    return build
