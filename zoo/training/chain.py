"""Distilling by steps, from a large teacher over models of middle size to a small student: each a run of its own.

A student that is far smaller than its teacher learns less from it than from one that is nearer (Mirzadeh et al.,
"Improved Knowledge Distillation via Teacher Assistant", AAAI 2020).
"""

from __future__ import annotations

import copy
import logging
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from zoo.datasets import open_dataset
from zoo.errors import ConfigError
from zoo.losses.distillation import Loss, bind_losses
from zoo.models import architectures
from zoo.storage.files import write_atomically
from zoo.training.checkpoints import LAST
from zoo.training.done import is_done
from zoo.training.plan import Finished, Plan
from zoo.training.run_folder import VIA as VIA
from zoo.training.run_folder import claimed_folder
from zoo.training.running import run
from zoo.training.setup import chosen_losses, find_plans_teacher, make_student, the_instrument

_log = logging.getLogger(__name__)


def run_plan(plan: Plan) -> Finished:
    """Do what a plan asks for: one run, or a chain of them."""
    return _run_chain(plan) if plan.via else run(plan)


def _run_chain(plan: Plan) -> Finished:
    """Run `plan.via` one after the other, and then the student, each with the one before as its teacher.

    What is done already is left as it is, and what was begun goes on, where `plan.resume` says so.

    Raises:
        InUseError: Another process has the folder, or trains a model of that name.
        ZooError: A link of the chain does not fit; nothing is written then.
    """
    if plan.settings.devices * plan.settings.num_nodes > 1:
        raise ConfigError("A chain trains in one process: take distill.via away, or set distill.devices = 1.")
    dataset = open_dataset(plan.dataset)
    instrument = the_instrument(plan.instrument, dataset)
    with torch.random.fork_rng():
        teacher = find_plans_teacher(plan, dataset, instrument).model
        for link in (*(_link(plan, architecture) for architecture in plan.via), plan):
            student = make_student(link, dataset, instrument)
            bind_losses(copy.deepcopy(chosen_losses(plan, taught=True)), student, teacher)
            teacher = student
    doing = f"distilling {teacher.name} by steps"
    with ExitStack() as stack:
        folder = stack.enter_context(claimed_folder(plan.out, name=teacher.name, resume=plan.resume, doing=doing))
        if plan.name is not None:
            stack.enter_context(architectures.reserved(plan.name, config=teacher.config, force=plan.force, doing=doing))
        return _run_links(plan, folder)


def _run_links(plan: Plan, folder: Path) -> Finished:
    for name, text in plan.records.items():
        write_atomically(folder / name, text)
    reference = str(plan.teacher)
    for number, architecture in enumerate(plan.via, start=1):
        own = folder / VIA / f"{number}-{architecture}"
        if is_done(own):
            _log.info("%s is done already (%s).", architecture, own)
        else:
            link = replace(_link(plan, architecture), teacher=reference, out=own, resume=(own / LAST).is_file())
            _log.info("Link %d of %d of the chain: %s", number, len(plan.via) + 1, own)
            run(replace(link, losses=_fresh(plan), records=_records(plan, link), command_out=folder))
        reference = str(own.resolve())
    _log.info("The last link of the chain: %s", folder)
    last = replace(plan, teacher=reference, out=folder, resume=(folder / LAST).is_file())
    return run(replace(last, losses=_fresh(plan), records={}, command_out=folder))


def _link(plan: Plan, architecture: str) -> Plan:
    # options of the student are the last link's
    return replace(plan, student=architecture, student_options={}, start_from=None, via=(), name=None, force=False)


def _fresh(plan: Plan) -> list[Loss] | None:
    return None if plan.losses is None else copy.deepcopy(list(plan.losses))


def _records(plan: Plan, link: Plan) -> dict[str, str]:
    """A link's own recipe: that of the chain, with what differs after it."""
    own: dict[str, object] = {"teacher": link.teacher, "student": link.student, "student_options": {}, "via": []}
    lines = "".join(f"distill.{name} = {value!r}\n" for name, value in own.items())
    return {name: f"{text}\n# This link of the chain:\n{lines}" for name, text in plan.records.items()}


def links(folder: Path) -> list[Path]:
    """The runs of a chain's links before its last one, in order."""
    found = (folder / VIA).iterdir() if (folder / VIA).is_dir() else ()
    return sorted((path for path in found if path.is_dir()), key=lambda path: int(path.name.partition("-")[0]))
