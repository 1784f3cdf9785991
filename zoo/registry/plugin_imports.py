"""Importing a stranger's module without letting it change what the whole process shares.

What is looked after is what plugins are known to touch: where `print` goes, warnings, torch's default dtype and device
and whether it keeps gradients, seeds, numpy's treatment of errors, the working directory. What it changes is taken
back, and said. Not seen are patched functions and environment variables, which a plugin may have a reason to set.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from zoo.registry.requirements import missing_requirements

_log = logging.getLogger("zoo")

SLOW_SECONDS = 10.0
"""An import that takes longer is told, so that the wait has a name."""


def message_of(error: BaseException) -> str:
    """What an error of a plugin's says; its `__str__` may be broken too."""
    if isinstance(error, SyntaxError) and error.filename:  # by itself it names the last part of the path alone
        return f"{error.msg} ({error.filename}, line {error.lineno})"
    try:
        return str(error)
    except Exception as another:  # noqa: BLE001 - whatever that raises
        return f"(its message cannot be had: {type(another).__name__})"


def advice(error: BaseException, module: str, distribution: str) -> str:
    """What to do where a plugin cannot be imported, as a sentence.

    Args:
        error: What its import raised.
        module: What was imported.
        distribution: Whose it is.
    """
    if lacks := missing_requirements(distribution):
        return f"That package needs {lacks[0].problem}. Type: {lacks[0].fix}"
    missing = (error.name or "").split(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if missing and missing != module.split(".")[0] and not _is_there(missing):
        return (
            f"Install the package that has {missing}, and tell the author of {distribution} that it is not among that "
            "package's requirements."
        )
    # another copy of the same files would do the same
    if isinstance(error, SyntaxError) or "circular import" in message_of(error):
        return f"Tell its author, or remove that package: pip uninstall {distribution}"
    return f"Reinstall or remove that package: pip install --force-reinstall {distribution}"


def _is_there(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None  # of a top-level name, this imports nothing
    except (ImportError, ValueError):
        return False


@contextlib.contextmanager
def untouched(origin: str) -> Iterator[None]:
    """Take back what the block's import changes of the things that all share.

    Args:
        origin: Who is imported, for the log: "zoo-kazoo 1.2".
    """
    before = {name: _seen(look) for name, (look, _) in _shared().items()}
    began = time.monotonic()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        changed = []
        for name, (look, put_back) in _shared().items():
            was = before[name] if name in before else _FRESH.get(name)
            if was is not None and _seen(look) != was:
                with contextlib.suppress(Exception):  # e.g. a folder that is gone
                    put_back(was)
                changed.append(name)
        if changed:
            _log.warning("Importing %s changes %s for everybody; that is taken back.", origin, ", ".join(changed))
        if (took := time.monotonic() - began) > SLOW_SECONDS:
            _log.warning("Importing %s took %.0f s.", origin, took)


# What torch begins with, for a plugin that is the first to import it.
_FRESH = {"torch's default dtype": "float32", "torch's default device": "cpu", "torch's gradients": True}


def _shared() -> dict[str, tuple[Callable[[], Any], Callable[[Any], object]]]:
    """What there is to look after: how to see it, and how to put it back."""
    found: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
        "the working directory": (os.getcwd, os.chdir),
        "the seed of random": (random.getstate, random.setstate),
    }
    # a module that is just being imported may lack anything
    if (numpy := sys.modules.get("numpy")) is not None and hasattr(numpy, "random") and hasattr(numpy, "seterr"):
        found["numpy's treatment of errors"] = (numpy.geterr, lambda was: numpy.seterr(**was))
        found["numpy's seed"] = (lambda: _listed(numpy.random.get_state(legacy=True)), numpy.random.set_state)
    if (torch := sys.modules.get("torch")) is not None and hasattr(torch, "get_default_device"):
        found["torch's default dtype"] = (
            lambda: str(torch.get_default_dtype()).removeprefix("torch."),
            lambda was: torch.set_default_dtype(getattr(torch, was)),
        )
        found["torch's default device"] = (
            lambda: str(torch.get_default_device()),
            lambda was: torch.set_default_device(None if was == "cpu" else was),
        )
        found["torch's gradients"] = (torch.is_grad_enabled, torch.set_grad_enabled)
        found["torch's seed"] = (
            lambda: bytes(torch.get_rng_state().numpy()),
            lambda was: torch.set_rng_state(torch.frombuffer(bytearray(was), dtype=torch.uint8)),
        )
    return found


def _listed(state: Any) -> tuple[Any, ...]:  # noqa: ANN401 - numpy's tuple, whose array does not compare as a whole
    return tuple(part.tolist() if hasattr(part, "tolist") else part for part in state)


def _seen(look: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever there is to see
    try:
        return look()
    except Exception:  # noqa: BLE001 - what cannot be seen cannot be put back: it is left alone
        return None
