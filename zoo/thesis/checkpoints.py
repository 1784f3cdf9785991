"""Reading the checkpoints of the master's thesis that this project reimagines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors_torch
from torch import Tensor

from zoo import registry
from zoo.errors import CheckpointError, ConfigError, ModelNotFoundError, ZooError, listing
from zoo.features import FeatureSettings
from zoo.models import ComponentConfig, architectures
from zoo.models.model import Model, create
from zoo.storage.header import describe_damage
from zoo.storage.initialisation import OwnNumbers

# Thesis name -> our name, tried in order on each name. Where ours is a buffer that is not saved, the checkpoint must
# hold the same numbers.
_RENAMES: list[tuple[str, str]] = [
    (r"net\.0\.in_mlps\.0\.(.+)", r"decoder.encoder.f0.\1"),
    (r"net\.0\.in_mlps\.1\.(.+)", r"decoder.encoder.loudness.\1"),
    (r"net\.0\.gru\.(.+)", r"decoder.gru.\1"),
    (r"net\.0\.tcn\.(\d+)\.block\.0\.(.+)", r"decoder.blocks.\1.first.\2"),
    (r"net\.0\.tcn\.(\d+)\.block\.3\.(.+)", r"decoder.blocks.\1.second.\2"),
    (r"net\.0\.tcn\.(\d+)\.residual\.(.+)", r"decoder.blocks.\1.residual.\2"),
    (r"net\.0\.s4\.norms\.(\d+)\.(.+)", r"decoder.blocks.\1.norm.\2"),
    (r"net\.0\.s4\.s4_blocks\.(\d+)\.D", r"decoder.blocks.\1.skip"),
    (r"net\.0\.s4\.s4_blocks\.(\d+)\.output_linear\.0\.(.+)", r"decoder.blocks.\1.mix.\2"),
    (r"net\.0\.s4\.s4_blocks\.(\d+)\.kernel\.kernel\.inv_w_real", r"decoder.blocks.\1.kernel.log_decay"),
    (r"net\.0\.s4\.s4_blocks\.(\d+)\.kernel\.kernel\.w_imag", r"decoder.blocks.\1.kernel.frequency"),
    (r"net\.0\.s4\.s4_blocks\.(\d+)\.kernel\.kernel\.log_dt", r"decoder.blocks.\1.kernel.log_dt"),
    (r"net\.0\.s4\.s4_blocks\.(\d+)\.kernel\.kernel\.P", r"decoder.blocks.\1.kernel.low_rank"),
    (r"net\.0\.s4\.s4_blocks\.(\d+)\.kernel\.kernel\.B", r"decoder.blocks.\1.kernel.drive"),
    (r"net\.0\.s4\.s4_blocks\.(\d+)\.kernel\.kernel\.C", r"decoder.blocks.\1.kernel.read"),
    (r"net\.0\.out_mlp\.(.+)", r"decoder.head.mlp.\1"),
    (r"net\.0\.proj_matrices\.0\.(.+)", r"decoder.head.controls.amplitude.\1"),
    (r"net\.0\.proj_matrices\.1\.(.+)", r"decoder.head.controls.harmonic_distribution.\1"),
    (r"net\.0\.proj_matrices\.2\.(.+)", r"decoder.head.controls.noise_bands.\1"),
    (r"net\.1\.reverb\.(noise|decay|wet)", r"synth.reverb.\1"),
    (r"net\.0\.net\.(\d+)\.block\.0\.(.+)", r"decoder.blocks.\1.first.\2"),
    (r"net\.0\.net\.(\d+)\.block\.3\.(.+)", r"decoder.blocks.\1.second.\2"),
    (r"net\.0\.net\.(\d+)\.residual\.(.+)", r"decoder.blocks.\1.residual.\2"),
    (r"net\.1\.fr", r"synth.ratios"),
]
# What plays as a synth of the thesis did: our synth's name -> the one to take, and its options.
_SYNTHS: dict[str, tuple[str, dict[str, Any]]] = {
    "harmonic_noise": ("thesis_harmonic_noise", {}),
    "ddx7": ("ddx7", {"unvoiced": "hold"}),
}
_NEW_WEIGHT_NORM = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
_BUFFERS = re.compile(r"net\.1\.reverb\.t")
# What the thesis stores with a dimension of size 1 more: our name, our number of dimensions, which one is too much.
_EXTRA_DIMENSIONS = [
    (r"synth\.reverb\.noise", 1, -1),
    (r"decoder\.blocks\.\d+\.skip", 1, 0),
    (r"decoder\.blocks\.\d+\.kernel\.(low_rank|drive|read)", 3, 0),
    (r"decoder\.blocks\.\d+\.mix\.weight", 2, -1),
]
_KERNEL_LENGTH = re.compile(r"net\.0\.s4\.s4_blocks\.\d+\.kernel\.kernel\.L")


def import_thesis(path: str | Path, *, model: str) -> Model:
    """Read a checkpoint of the thesis into a model, with that code's quirks switched on.

    Those are the cropped noise filter, the held phase in unvoiced frames, the trace of harmonics over Nyquist, and
    features whose windows are not centred.

    Example:
        >>> model = zoo.import_thesis("flute.ckpt", model="gru-S-flute")  # doctest: +SKIP

    Args:
        path: A Lightning `.ckpt` (read without running its code), or a safetensors file with the same names, with or
            without the prefix `state.`.
        model: What it is: an architecture ("gru-S") or a name with its instrument ("gru-S-flute").

    Returns:
        The model, in eval mode.

    Raises:
        ModelNotFoundError: There is no such architecture.
        CheckpointError: The file cannot be read, or holds another model; it says which one.
    """
    path = Path(path).expanduser()
    with OwnNumbers():
        try:
            made = _as_the_thesis_had_it(model)
        except ConfigError as error:
            raise ModelNotFoundError(f"{model} is not an architecture of the thesis: {error}") from None
    raw = _read(path)
    tensors = _rename(raw, path)
    if (frames := _kernel_frames(raw, path)) is not None:
        with OwnNumbers():
            made = _as_the_thesis_had_it(model, kernel_frames=frames)
    expected = made.state_dict()
    _check(tensors, made, path, model)
    state, _ = _split(tensors, made)
    made.load_state_dict({name: tensor.to(expected[name].dtype) for name, tensor in state.items()})
    features = FeatureSettings(center=False, normalize="peak", loudness="mean_db").to_dict()
    made.config = made.config.with_changes(features=features, lineage={"imported_from": path.name})
    return made.eval()


def _as_the_thesis_had_it(name: str, **options: Any) -> Model:  # noqa: ANN401 - as `create`'s
    preset = architectures.config_of(name)
    synth, quirks = _SYNTHS.get(preset.synth.name, (preset.synth.name, {}))
    config = preset.with_changes(synth=ComponentConfig(synth, {**preset.synth.args, **quirks}))
    return create(config, **options)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.")
    with path.open("rb") as file:
        start = file.read(9)
    # A safetensors file begins with the length of its header, eight bytes that may be anything, a pickle's first too.
    if start[8:9] != b"{" and start[:1] in (b"P", b"\x80"):
        try:
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # noqa: BLE001 - torch's reader raises whatever the bytes lead it to
            reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
            raise CheckpointError(
                f"{path} cannot be read without running code from it, or is damaged ({reason}). If you trust it, load "
                "it with torch yourself and save its state_dict as safetensors, then import that."
            ) from None
        state = content.get("state_dict", content) if isinstance(content, dict) else None
    else:
        try:
            state = safetensors_torch.load_file(path)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(describe_damage(path, error)) from None
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} holds no state_dict.")
    tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    return {name.removeprefix("state."): tensor for name, tensor in tensors.items()}


def _rename(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    unknown: list[str] = []
    for name, tensor in state.items():
        if not name.startswith("net.") or _BUFFERS.fullmatch(name) or _KERNEL_LENGTH.fullmatch(name):
            continue  # inputs and outputs beside the weights, and what is computed anew
        for old, new in _NEW_WEIGHT_NORM.items():
            name = name.replace(old, new)  # the same name in torch's newer spelling
        for pattern, replacement in _RENAMES:
            if match := re.fullmatch(pattern, name):
                renamed[match.expand(replacement)] = tensor
                break
        else:
            unknown.append(name)
    if unknown:
        raise CheckpointError(f"{path} has weights that zoo does not know: {listing(unknown)[:300]}.")
    if not renamed:
        raise CheckpointError(
            f"{path} holds none of the thesis's names (net.0.* and net.1.*); it has {listing(list(state)[:5])}."
        )
    for pattern, dimensions, extra in _EXTRA_DIMENSIONS:
        for name, tensor in renamed.items():
            if re.fullmatch(pattern, name) and tensor.ndim == dimensions + 1:
                renamed[name] = tensor.squeeze(extra)
    return renamed


def _kernel_frames(state: dict[str, Tensor], path: Path) -> int | None:
    """The length that S4's kernels were made for: what their C means depends on it."""
    found = {int(tensor) for name, tensor in state.items() if _KERNEL_LENGTH.fullmatch(name)}
    if not found:
        return None
    if len(found) > 1 or min(found) < 1:
        raise CheckpointError(
            f"{path} has S4 kernels made for {listing(str(n) for n in sorted(found))} frames; zoo takes one length of "
            "at least 1 for all (0: the model was never run, so its C has another meaning)."
        )
    return found.pop()


def _split(tensors: dict[str, Tensor], made: Model) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A checkpoint's weights, and what a model has as constants, which it does not save."""
    saved = made.state_dict()
    constants = {name for name, _ in made.named_buffers() if name not in saved}
    return (
        {name: tensor for name, tensor in tensors.items() if name not in constants},
        {name: tensor for name, tensor in tensors.items() if name in constants},
    )


def _check(tensors: dict[str, Tensor], made: Model, path: Path, model: str) -> None:
    state, constants = _split(tensors, made)
    expected = made.state_dict()
    if _shapes(state) == _shapes(expected):
        own = dict(made.named_buffers())
        wrong = [name for name, value in constants.items() if not _same(own[name], value)]
        if not wrong:
            if bad := [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]:
                raise CheckpointError(f"{path} holds NaN or infinite weights in {listing(bad)}.")
            return
        found, wanted = _numbers(constants[wrong[0]]), _numbers(own[wrong[0]])
        difference = f"its {wrong[0].rpartition('.')[2]} are {found}, and should be {wanted}"
    else:
        differing = sorted(n for n in {*state, *expected} if _shapes(state).get(n) != _shapes(expected).get(n))
        first = differing[0]
        difference = (
            f"{len(differing)} weights differ; {first} is {_shapes(state).get(first, 'missing')}, and should be "
            f"{_shapes(expected).get(first, 'absent')}"
        )
    if fitting := [name for name in registry.models.names() if _fits(name, tensors)]:
        raise CheckpointError(f"{path} is not a {model} but a {fitting[0]}: use model={fitting[0]!r}.")
    raise CheckpointError(f"{path} is not a {model}: {difference}.")


def _shapes(state: dict[str, Tensor]) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in state.items()}


def _same(constant: Tensor, other: Tensor) -> bool:
    return constant.numel() == other.numel() and bool((constant.flatten() == other.flatten()).all())


def _numbers(tensor: Tensor) -> str:
    return ", ".join(f"{float(number):g}" for number in tensor.flatten())


def _fits(name: str, tensors: dict[str, Tensor]) -> bool:
    try:
        with OwnNumbers():
            other = create(name)
    except ZooError:  # of a plugin that is broken
        return False
    state, constants = _split(tensors, other)
    own = dict(other.named_buffers())
    return _shapes(other.state_dict()) == _shapes(state) and all(_same(own[n], v) for n, v in constants.items())
