"""The arguments of `train` and `distill`, checked together before anything is looked for or computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo.checks.options import refuse, shown, type_fault, whole_fault, writable_fault
from zoo.registry import paths
from zoo.training.settings import Settings

_TEXTS = ("model", "student")
_PLACES = ("dataset",)
_TEXTS_OR_NONE = ("instrument", "name")
_PLACES_OR_NONE = ("out", "start_from")
_YES_OR_NO = (
    "evaluate",
    "resume",
    "force",
    "cuda_graphs",
    "teacher_reverb",
    "teacher_cache",
    "allow_other_instrument",
)
_MOST_DRAWS = 1000


def check_arguments(given: Mapping[str, Any]) -> None:
    """Check the arguments of a run: types, ranges, the device, and that its places can be written to.

    Args:
        given: Of `zoo.training.loop.train` or `distill`, by name.

    Raises:
        ConfigError: Some do not fit; all of them are told.
    """
    refuse(_faults(given))


def _faults(given: Mapping[str, Any]) -> Iterator[str | None]:
    from zoo.training.devices import accelerator_fault  # imports torch

    settings = {name: given[name] for name in Settings.__dataclass_fields__ if name in given}
    found = [fault for fault in Settings.faults(settings) if fault]
    yield from found
    if not any(fault.startswith(("accelerator", "devices")) for fault in found):
        yield accelerator_fault(given["accelerator"], given["devices"])
    none = type(None)
    for names, types, words in (
        (_TEXTS, str, "text"),
        (_PLACES, (str, Path), "text or a path"),
        (_TEXTS_OR_NONE, (str, none), "text or None"),
        (_PLACES_OR_NONE, (str, Path, none), "text, a path or None"),
        (_YES_OR_NO, bool, "True or False"),
        (("progress",), (bool, none), "True, False or None"),
        (("model_options", "student_options", "records"), (Mapping, none), "a dictionary"),
    ):
        yield from (type_fault(name, given[name], types, words) for name in names if name in given)
    if "teacher_draws" in given:
        yield whole_fault("teacher_draws", given["teacher_draws"], least=1, most=_MOST_DRAWS)
    yield _losses_fault(given["losses"])
    if isinstance(given["out"], str | Path):
        yield writable_fault(given["out"], "--out")
    if isinstance(given["name"], str):
        remedy = "Type: export ZOO_HOME=FOLDER, with a folder of yours, or leave --name out."
        yield writable_fault(paths.store_folder(), "The local store", remedy=remedy)


def _losses_fault(losses: object) -> str | None:
    from zoo.losses.distillation import Loss

    if losses is None:
        return None
    if isinstance(losses, Loss):
        return f"losses must be a list, and is one loss alone. Write it in brackets: [@{losses.label}()]"
    if not isinstance(losses, list | tuple):
        return f"losses must be a list, e.g. [@reconstruction()], found {shown(losses)}."
    for loss in losses:
        if not isinstance(loss, Loss):
            return f"In losses {shown(loss)} is no loss. Name registered ones: [@reconstruction(), @output_audio()]."
    return None if losses else "losses must hold at least one loss, e.g. [@reconstruction()]; found an empty list."
