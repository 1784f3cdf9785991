"""The check of models can fail, and says what is promised and what was found."""

import pytest

from zoo.storage.config import ComponentConfig, ModelConfig
from zoo.synths import HarmonicNoise
from zoo.testing import check_model


def small():
    args = {"harmonics": 10, "reverb_length": 50}
    return ModelConfig("small", ComponentConfig("gru", {"hidden_size": 6}), ComponentConfig("harmonic_noise", args))


@pytest.mark.parametrize(
    ("model", "promise", "found"),
    [
        (lambda: {"architecture": "small"}, "gives a zoo.models.ModelConfig", "dict"),
        (lambda size: small(), "without arguments", "TypeError"),
        (lambda: small().with_changes(architecture="sm/all"), "config.json can hold", "sm/all"),
        (lambda: small().with_changes(decoder=ComponentConfig("grru")), "can be built", "Did you mean gru"),
        (
            lambda: small().with_changes(decoder=ComponentConfig("gru", {"hidden_size": (6, 7)})),
            "the same when it is read",
            r"\[6, 7\]",
        ),
    ],
)
def test_broken_model_fails(model, promise, found):
    with pytest.raises(AssertionError, match=rf"model .*Promised: .*{promise}.*Found: .*{found}"):
        check_model(model)


def test_good_model_passes():
    check_model(small)


def test_synth_that_returns_something_else_is_told_as_such():
    from zoo import register, registry

    class Bare(HarmonicNoise):
        def forward(self, f0_hz, controls, noise=None):
            return super().forward(f0_hz, controls, noise).audio

    register.synth("bare")(Bare)
    try:
        with pytest.raises(AssertionError, match=r"forward must return a zoo\.synths\.Synthesis.*Found: Tensor"):
            check_model(lambda: small().with_changes(synth=ComponentConfig("bare", {"reverb_length": 50})))
    finally:
        registry.synths.unregister("bare")


def test_registered_model_has_its_own_name():
    from zoo import register, registry

    register.model("petite")(small)
    try:
        with pytest.raises(AssertionError, match=r"architecture is its registered name.*Found: small"):
            check_model("petite")
    finally:
        registry.models.unregister("petite")
