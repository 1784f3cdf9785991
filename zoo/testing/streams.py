"""What decoders' and synths' streaming interfaces have in common, and the check of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoo.testing.contract import Subject

Results = Callable[[Any], dict[str, Tensor]]


class _Graph(nn.Module):
    def __init__(self, part: Any, results: Results) -> None:  # noqa: ANN401 - a decoder or a synth
        super().__init__()
        self.part: Any = part
        self.results = results

    def forward(
        self, inputs: dict[str, Tensor], state: dict[str, Tensor], constants: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        made, after = self.part.stream(inputs, state, constants)
        return self.results(made), after


def check_stream_form(subject: Subject, part: Any, inputs: Mapping[str, Tensor], *, results: Results) -> None:  # noqa: ANN401 - a decoder or a synth
    """Make sure that a streaming interface is one that graphs can be made of.

    Checked: states and constants are real tensors; a state keeps its names, shapes and dtypes, and is left as it was;
    training mode changes nothing; `torch.export` takes `stream` as a graph, which gives the same.

    Args:
        subject: Whom to blame.
        part: The decoder or synth, in eval mode.
        inputs: As `stream` takes them.
        results: What `stream` made, as named tensors.
    """
    batch = len(next(iter(inputs.values())))
    with torch.no_grad():
        with subject.promises("stream_state(batch), stream_constants() and stream(inputs, state, constants) work."):
            state, constants = part.stream_state(batch), part.stream_constants()
            for name, tensors in (("state", state), ("constants", constants)):
                odd = [key for key, value in tensors.items() if not isinstance(value, Tensor) or value.is_complex()]
                subject.require(not odd, f"stream's {name} are real tensors by name.", f"others: {odd}")
            kept = {name: value.clone() for name, value in state.items()}
            _, middle = part.stream(inputs, state, constants)
            made, after = part.stream(inputs, middle, constants)
            expected = {**results(made), **_labelled(after)}
        for stage in (middle, after):
            promise = "A state has the same names, shapes and dtypes after stream as before."
            subject.require(_shapes(stage) == _shapes(state), promise, _difference(_shapes(state), _shapes(stage)))
        unchanged = all(torch.equal(value, kept[name]) for name, value in state.items())
        promise = "stream leaves the state that it is given as it was."
        subject.require(unchanged, promise, "another one")

        def check(way: str, made: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
            found = {**made, **_labelled(after)}
            for name, value in expected.items():
                subject.require_close(found[name], value, f"{way}, stream gives the same {name}.")

        with subject.promises("stream works out its constants where they are not given."):
            made, after = part.stream(inputs, middle)
        check("Without constants given", results(made), after)
        part.train()
        made, after = part.stream(inputs, middle, constants)
        part.eval()
        check("In training mode", results(made), after)
        promise = "torch.export takes stream as a graph: no branch on values, no shapes that depend on them."
        with subject.promises(promise):
            graph = torch.export.export(_Graph(part, results), (dict(inputs), middle, constants), strict=False).module()
            made, after = graph(dict(inputs), middle, constants)
        check("As a graph of torch.export", made, after)


def _labelled(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"state {name!r}": value for name, value in state.items()}


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[list[int], str]]:
    return {name: (list(value.shape), str(value.dtype)) for name, value in state.items()}


def _difference(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return ", ".join(f"{name}: {before.get(name, 'none')}, then {after.get(name, 'none')}" for name in names)
