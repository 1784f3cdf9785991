"""The check of decoders can fail, and says what is promised and what was found."""

import pytest
import torch
from torch import nn

from zoo.decoders import Decoded, Decoder
from zoo.errors import ConfigError
from zoo.testing import check_decoder


class Good(Decoder):
    """A decoder with a memory of one frame, which keeps every promise; each broken one below changes one thing."""

    def __init__(self, *, control_sizes, width=6):
        super().__init__(control_sizes=control_sizes)
        self.enter = nn.Linear(2, width)
        self.leave = nn.ModuleDict({name: nn.Linear(2 * width, size) for name, size in control_sizes.items()})

    def decode(self, hidden, before):
        hidden = torch.cat([hidden, before], -1)
        return Decoded({name: layer(hidden) for name, layer in self.leave.items()}, hidden)

    def forward(self, f0_scaled, loudness_scaled):
        hidden = self.enter(torch.stack([f0_scaled, loudness_scaled], -1)).tanh()
        return self.decode(hidden, nn.functional.pad(hidden, (0, 0, 1, 0))[:, :-1])

    def stream_state(self, batch):
        return {"before": self.enter.weight.new_zeros(batch, 1, self.enter.out_features)}

    def stream(self, inputs, state, constants=None):
        hidden = self.enter(torch.stack(self.features(inputs, state), -1)).tanh()
        before = torch.cat([state["before"], hidden], 1)
        return self.decode(hidden, before[:, :-1]), {"before": hidden[:, -1:]}


class Constructor(Good):
    def __init__(self, sizes):
        super().__init__(control_sizes=sizes)


class NotADecoder(nn.Module):
    def __init__(self, *, control_sizes):
        super().__init__()


class OtherControls(Good):
    def __init__(self, *, control_sizes):
        super().__init__(control_sizes={**control_sizes, "reed": 1})


class MissingControl(Good):
    def decode(self, hidden, before):
        decoded = super().decode(hidden, before)
        decoded.controls.pop("amplitude")
        return decoded


class WrongShape(Good):
    def forward(self, f0_scaled, loudness_scaled):
        controls, hidden = super().forward(f0_scaled, loudness_scaled)
        return Decoded({name: value[:, :-1] for name, value in controls.items()}, hidden)


class FlatHidden(Good):
    def forward(self, f0_scaled, loudness_scaled):
        controls, hidden = super().forward(f0_scaled, loudness_scaled)
        return Decoded(controls, hidden.mean(-1))


class NaNInSilence(Good):
    def forward(self, f0_scaled, loudness_scaled):
        return super().forward(f0_scaled / f0_scaled.amax(1, keepdim=True), loudness_scaled)


class Random(Good):
    def forward(self, f0_scaled, loudness_scaled):
        return super().forward(f0_scaled + 0.1 * torch.rand_like(f0_scaled), loudness_scaled)


class SeesOtherRows(Good):
    def forward(self, f0_scaled, loudness_scaled):
        return super().forward(f0_scaled - f0_scaled.mean(), loudness_scaled)


class Detached(Good):
    def decode(self, hidden, before):
        return super().decode(hidden.detach(), before.detach())


class GroupsLackOne(Good):
    def param_groups(self):
        return [{"params": list(self.leave.parameters())}]


class GroupsHoldTwice(Good):
    def param_groups(self):
        return [{"params": list(self.parameters())}, {"params": list(self.enter.parameters()), "lr": 1e-3}]


class ForgetsOnSaving(Good):
    def __init__(self, *, control_sizes):
        super().__init__(control_sizes=control_sizes)
        self.gain = 1 + torch.rand(())  # neither a parameter nor a buffer

    def forward(self, f0_scaled, loudness_scaled):
        return super().forward(self.gain * f0_scaled, loudness_scaled)


class StreamDiffers(Good):
    def stream(self, inputs, state, constants=None):
        decoded, _ = super().stream(inputs, state)
        return decoded, dict(state)  # the memory never moves on


class StreamChangesState(Good):
    def stream(self, inputs, state, constants=None):
        decoded, after = super().stream(inputs, state)
        state["before"].copy_(after["before"])
        return decoded, after


class StateGrows(Good):
    def stream(self, inputs, state, constants=None):
        decoded, after = super().stream(inputs, {"before": state["before"][:, -1:]})
        return decoded, {"before": torch.cat([state["before"], after["before"]], 1)}


class StreamWithoutState(Good):
    stream_state = Decoder.stream_state


class StreamKnowsTwoInputsOnly(Good):
    inputs = ("f0", "loudness", "velocity")


class StreamBranchesOnValues(Good):
    def stream(self, inputs, state, constants=None):
        if inputs["f0"].sum() < -1:
            return super().stream(inputs, self.stream_state(len(inputs["f0"])))
        return super().stream(inputs, state)


class StateIsComplex(Good):
    def stream_state(self, batch):
        return {"before": super().stream_state(batch)["before"].to(torch.complex64)}

    def stream(self, inputs, state, constants=None):
        decoded, after = super().stream(inputs, {"before": state["before"].real})
        return decoded, {"before": after["before"].to(torch.complex64)}


class Float32Only(Good):
    def forward(self, f0_scaled, loudness_scaled):
        controls, hidden = super().forward(f0_scaled, loudness_scaled)
        return Decoded({name: value.float() for name, value in controls.items()}, hidden)


def test_good_decoder_passes_with_and_without_options():
    check_decoder(Good)
    check_decoder(Good, options={"width": 3}, synth_options={"harmonics": 10})


@pytest.mark.parametrize(
    ("decoder", "promise", "found"),
    [
        (Constructor, "built with control_sizes=", "TypeError"),
        (NotADecoder, r"derives from zoo\.decoders\.Decoder", "Module"),
        (OtherControls, "control_sizes are those that it was given", "'reed': 1"),
        (MissingControl, "controls are exactly", r"\['harmonic_distribution', 'noise_bands'\]"),
        (WrongShape, r"'amplitude' of a clip .* is \[3, 60, 1\]", r"\[3, 59, 1\]"),
        (FlatHidden, r"hidden of a clip .* is \[3, 60, 1\]", r"\[3, 60\]"),
        (NaNInSilence, "of silence .* is finite", "NaN"),
        (Random, "deterministic", "apart"),
        (SeesOtherRows, "do not see each other", "apart"),
        (Detached, "a gradient for every parameter", r"none for enter\.bias, enter\.weight"),
        (GroupsLackOne, "every parameter exactly once", r"enter\.weight 0 times"),
        (GroupsHoldTwice, "torch.optim.AdamW takes", "more than one parameter group"),
        (ForgetsOnSaving, "lies in its state_dict", "apart"),
        (StreamDiffers, "stream gives block by block, 1 frames each, what forward gives", "apart"),
        (StreamChangesState, "leaves the state that it is given", "another one"),
        (StateGrows, "same names, shapes and dtypes after stream", "before: "),
        (StreamWithoutState, "both stream_state and stream", "only stream"),
        (StreamKnowsTwoInputsOnly, "forward takes f0_scaled and loudness_scaled, velocity=", "TypeError"),
        (StreamBranchesOnValues, "torch.export takes stream as a graph", "GuardOnDataDependent"),
        (StateIsComplex, "state are real tensors", "before"),
        (Float32Only, "dtype of the inputs", "float32"),
    ],
)
def test_broken_decoder_fails(decoder, promise, found):
    with pytest.raises(AssertionError, match=rf"decoder {decoder.__name__} .*Promised: .*{promise}.*Found: .*{found}"):
        check_decoder(decoder)


def test_unknown_name_is_said_as_everywhere():
    with pytest.raises(ConfigError, match="Did you mean gru"):
        check_decoder("grru")
