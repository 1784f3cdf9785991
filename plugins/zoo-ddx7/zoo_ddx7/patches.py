"""Patches: which operators modulate which, and at which multiples of the pitch they run. All of it is data.

A patch of your own is a few lines, and becomes an architecture by an entry point of your package, or in a notebook:

>>> import zoo
>>> from zoo_ddx7 import Patch
>>> bell = Patch("4>3, 2>1", ratios=(1, 3.5, 1, 7))
>>> _ = zoo.register.model("ddx7-bell")(bell.model("bell"))
>>> zoo.create("ddx7-bell").name
'ddx7-bell'
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from zoo.models import ComponentConfig, ModelConfig
from zoo_ddx7.algorithm import parse


@dataclass(frozen=True)
class Patch:
    """A patch.

    Attributes:
        algorithm: Stacks of operators, numbered from 1 as on the instrument: in "3>2>1" operator 3 modulates 2, and 2
            modulates 1. Operators that modulate none are heard.
        ratios: Multiples of the pitch, of operator 1 first.
        max_ol: The highest output level of an operator; as a modulator it is an index of 2 pi times that.
        max_ol_for: Others for certain instruments.

    Raises:
        ConfigError: The algorithm cannot be read, or names other operators than there are ratios.
    """

    algorithm: str
    ratios: tuple[float, ...]
    max_ol: float = 0.32
    max_ol_for: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parse(self.algorithm, len(self.ratios))

    def model(
        self, name: str, *, plays: str | None = None, decoder: Mapping[str, int] | None = None
    ) -> Callable[..., ModelConfig]:
        """The preset of the architecture `ddx7-<name>`, as the entry-point group `zoo_models` takes it.

        Args:
            name: Of the patch.
            plays: An instrument, for a preset that is short for the model of that.
            decoder: Options of the decoder, where they are not its own.
        """

        def preset(instrument: str | None = None) -> ModelConfig:
            plays_now = instrument or plays
            return ModelConfig(
                architecture=f"ddx7-{name}",
                instrument=plays,
                decoder=ComponentConfig("ddx7_tcn", dict(decoder or {})),
                synth=ComponentConfig(
                    "ddx7",
                    {
                        "algorithm": self.algorithm,
                        "ratios": list(self.ratios),
                        "max_ol": self.max_ol_for.get(plays_now or "", self.max_ol),
                    },
                ),
            )

        preset.__name__ = preset.__qualname__ = name
        preset.__doc__ = f"{self.algorithm} at {', '.join(f'{ratio:g}' for ratio in self.ratios)}."
        return preset


PATCHES: dict[str, Patch] = {
    "flute": Patch("6>5>1, 4>3>1, 2>1", ratios=(1, 1, 1, 2, 2, 1.5)),
    "brass": Patch("6>5>4>1, 3>1, 2>1", ratios=(1, 1, 1, 1, 3.2, 8.5)),
    "strings": Patch("6>5>4>3, 2>1", ratios=(1, 1, 1, 1, 3, 14)),
    "piano": Patch("3>2>1, 6>4, 6>5", ratios=(1, 1, 3, 1, 1.58, 1)),
    "ablated-brass": Patch("4>3>1, 2>1", ratios=(1, 1, 1, 3.2)),
    "ablated-flute": Patch("4>3>1, 2>1", ratios=(1, 1, 1, 2)),
    "1stack2": Patch("2>1", ratios=(1, 1), max_ol_for={"trumpet": 1.0}),
    "1stack4": Patch("4>3>2>1", ratios=(1, 1, 3, 14)),
    "2stack2": Patch("4>3, 2>1", ratios=(1, 1, 1, 1)),
}
"""The patches of DDX7 (Caspe et al., ISMIR 2022) and of the thesis, and one of a piano, by name."""
