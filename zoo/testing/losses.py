"""The check of a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from zoo import registry
from zoo.errors import ConfigError, listing
from zoo.losses.distillation import NEEDS, Loss
from zoo.models.creating import create
from zoo.models.model import Model
from zoo.models.rendering import Rendering
from zoo.testing.contract import Subject, check_gradients, instance_of, reloaded, trial

_BATCH, _FRAMES = 2, 60


def check_loss(
    loss: str | type[Loss],
    *,
    options: Mapping[str, Any] | None = None,
    student: str = "gru-S",
    student_options: Mapping[str, Any] | None = None,
    teacher: str = "gru-S",
    teacher_options: Mapping[str, Any] | None = None,
) -> None:
    """Make sure that a loss does what the trainer relies on.

    Checked: its name, `needs` and weight; that `bind` takes a pair, and refuses a missing teacher where it needs one;
    that its value is a finite scalar and the same twice; that a finite gradient reaches the loss's own parameters, and
    the student when those have moved, where nothing sounds too; that padding does not count; that its state can be
    saved and loaded.

    Example:
        >>> check_loss("reconstruction", options={"weight": 0.5})

    Args:
        loss: A registered name, or the class.
        options: The loss's own options.
        student: An architecture that it is to train, in a small size.
        student_options: Options of that, as `zoo.create` takes them; a hidden size of 8 by default.
        teacher: The architecture of the teacher.
        teacher_options: Options of that; a hidden size of 16 by default.

    Raises:
        AssertionError: It breaks a promise, which the message tells beside what was found.
        ConfigError: There is no loss or architecture of that name.
    """
    subject = Subject(registry.losses, loss)
    arguments = dict(options or {})
    build = instance_of(subject, Loss, arguments, f"It is built with its options as keywords: {arguments}.")
    with trial():
        small = {"hidden_size": 8, "reverb_length": 100} if student == "gru-S" else {}
        student_model = create(student, **(small if student_options is None else student_options))
        small = {"hidden_size": 16, "reverb_length": 100} if teacher == "gru-S" else {}
        teacher_model = create(teacher, **(small if teacher_options is None else teacher_options)).eval()
        built: Loss = build()
        _check_declarations(subject, built, arguments)
        _check_binding(subject, built, student_model, teacher_model)
        inputs = _inputs(student_model, teacher_model)
        _check_value(subject, built, *inputs)
        _check_gradients(subject, built, student_model, inputs)
        _check_silence(subject, built, inputs)
        _check_padding(subject, built, inputs)
        _check_reload(subject, built, build, student_model, teacher_model, inputs)


Inputs = tuple[Rendering, Rendering, dict[str, Tensor]]


def _inputs(student: Model, teacher: Model) -> Inputs:
    """What both make of a batch, and the batch: tones whose second row ends before the last third."""
    hop, samples = student.hop, _FRAMES * student.hop
    f0_hz = torch.tensor([[220.0], [440.0]]).repeat(1, _FRAMES)
    time = torch.arange(samples) / student.sample_rate
    batch = {
        "audio": 0.3 * torch.sin(2 * torch.pi * f0_hz[:, :1] * time) + 0.01 * torch.randn(_BATCH, samples),
        "f0_hz": f0_hz,
        "loudness_db": -20 - 10 * torch.rand(_BATCH, _FRAMES),
        "valid_frames": torch.tensor([_FRAMES, 2 * _FRAMES // 3]),
        "index": torch.arange(_BATCH),
    }
    noise = torch.rand(_BATCH, _FRAMES * hop) * 2 - 1
    made = student(batch["f0_hz"], batch["loudness_db"], noise)
    with torch.no_grad():
        wanted = teacher(batch["f0_hz"], batch["loudness_db"], noise)
    return made, wanted, batch


def _check_declarations(subject: Subject, loss: Loss, arguments: Mapping[str, Any]) -> None:
    subject.require(
        bool(loss.name) and loss.name.isidentifier(),
        "Its class sets name, one word, for the column in history.csv.",
        repr(loss.name),
    )
    subject.require(
        isinstance(loss.needs, frozenset) and loss.needs <= NEEDS,
        f"Its class sets needs, a frozenset of what it asks of a teacher, out of {listing(NEEDS)}.",
        loss.needs,
    )
    weight = loss.state_dict().get("weight")
    expected = float(arguments.get("weight", 1.0))
    subject.require(
        weight is not None and float(weight) == expected,
        f"weight= is handed to Loss, and lies in the state_dict as {expected}.",
        weight,
    )
    try:
        subject.component(**{**arguments, "weight": -1.0})
    except ConfigError:
        return
    subject.require(False, "A negative weight is refused with a ConfigError.", "it was taken")


def _check_binding(subject: Subject, loss: Loss, student: Model, teacher: Model) -> None:
    if loss.uses_teacher:
        try:
            loss.bind(student, None)
        except ConfigError:
            pass
        else:
            subject.require(
                False, "bind refuses a missing teacher with a ConfigError, as it compares with one.", "no error"
            )
    with subject.promises("bind(student, teacher) takes a pair."):
        loss.bind(student, teacher)


def _value(subject: Subject, loss: Loss, student: Rendering, teacher: Rendering, batch: Mapping[str, Tensor]) -> Tensor:
    given = teacher if loss.uses_teacher else None
    with subject.promises(f"forward(student, teacher, batch) takes {'both' if loss.uses_teacher else 'no teacher'}."):
        value: Tensor = loss(student, given, batch)
    subject.require_tensor(value, (), "Its value", torch.float32)
    return value


def _check_value(
    subject: Subject, loss: Loss, student: Rendering, teacher: Rendering, batch: Mapping[str, Tensor]
) -> None:
    first = _value(subject, loss, student, teacher, batch).detach()
    again = _value(subject, loss, student, teacher, batch).detach()
    subject.require_close(again, first, "Its value is the same twice.", atol=0)


def _check_gradients(subject: Subject, loss: Loss, student: Model, inputs: Inputs) -> None:
    value = _value(subject, loss, *inputs)
    subject.require(value.requires_grad, "Its value depends on the student: it has a gradient.", "a constant")
    torch.autograd.backward(value, retain_graph=True)  # the student's rendering is used again
    check_gradients(subject, loss, of="Its value")
    with torch.no_grad():  # as after a step: a projection that begins at zero lets nothing through before
        for parameter in loss.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    student.zero_grad()
    torch.autograd.backward(_value(subject, loss, *inputs), retain_graph=True)
    reached = [parameter.grad for parameter in student.parameters() if parameter.grad is not None]
    subject.require(any(bool(grad.any()) for grad in reached), "Its gradient reaches the student.", "zeros or none")
    subject.require(
        all(bool(torch.isfinite(grad).all()) for grad in reached), "Its gradient is finite.", "NaN or infinite"
    )
    loss.zero_grad()
    student.zero_grad()


def _mapped(rendering: Rendering, change: Callable[[Tensor], Tensor]) -> Rendering:
    """A rendering whose tensors are all changed in one way."""
    changed: dict[str, Any] = {}
    for field in fields(rendering):
        value = getattr(rendering, field.name)
        if isinstance(value, Tensor):
            changed[field.name] = change(value)
        elif isinstance(value, dict):
            changed[field.name] = {name: change(item) for name, item in value.items()}
    return replace(rendering, **changed)


def _check_silence(subject: Subject, loss: Loss, inputs: Inputs) -> None:
    """Silence that equals silence is where a logarithm or a norm turns a gradient into NaN."""
    student, teacher, batch = inputs
    leaves: list[Tensor] = []

    def silent(value: Tensor) -> Tensor:
        leaves.append(torch.zeros_like(value, requires_grad=True))
        return leaves[-1]

    quiet = _mapped(student, silent)
    value = _value(
        subject, loss, quiet, _mapped(teacher, torch.zeros_like), {**batch, "audio": torch.zeros_like(batch["audio"])}
    )
    if value.requires_grad:
        torch.autograd.backward(value)
    broken = sum(leaf.grad is not None and not bool(torch.isfinite(leaf.grad).all()) for leaf in leaves)
    promise = "Where student, teacher and recording are all zeros, its gradient is finite."
    subject.require(broken == 0, promise, "NaN or infinite gradients")
    loss.zero_grad()


def _check_padding(subject: Subject, loss: Loss, inputs: Inputs) -> None:
    student, teacher, batch = inputs
    valid = int(batch["valid_frames"][1])

    def spoil(value: Tensor) -> Tensor:
        spoilt = value.detach().clone()
        end = valid * (value.shape[1] // _FRAMES)  # in frames or in samples
        spoilt[1, end:] = torch.randn_like(spoilt[1, end:])
        return spoilt

    expected = _value(subject, loss, student, teacher, batch)
    padded = {**batch, "audio": spoil(batch["audio"])}
    found = _value(subject, loss, _mapped(student, spoil), _mapped(teacher, spoil), padded)
    promise = "What lies after valid_frames in a row is padding, and does not count: its value is the same."
    subject.require_close(found.detach(), expected.detach(), promise)


def _check_reload(
    subject: Subject, loss: Loss, build: Callable[[], Loss], student: Model, teacher: Model, inputs: Inputs
) -> None:
    def bound() -> Loss:
        other = build()
        other.bind(student, teacher)
        return other

    other = reloaded(subject, loss, bound)
    promise = "What it is lies in its state_dict: its value is the same for another one that is bound and loaded."
    found, expected = (_value(subject, item, *inputs).detach() for item in (other, loss.eval()))
    subject.require_close(found, expected, promise, atol=1e-6)
