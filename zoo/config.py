"""What a model is made of, as plain data: ModelConfig <-> config.json.

A config names registry components and plain arguments, never an import path, so that reading one runs no code.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from zoo.errors import ConfigError, listing, near_matches

FORMAT = "ddsp-zoo"
CONFIG_VERSION = 1

_COMPONENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class ComponentConfig:
    """A registry component by its name, and the plain arguments it is built with."""

    name: str
    args: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, value: object, *, where: str) -> ComponentConfig:
        """Read one from parsed JSON; `where` names the place in messages."""
        if not isinstance(value, dict) or set(value) - {"name", "args"} or not isinstance(value.get("name"), str):
            raise ConfigError(f'{where} must be {{"name": ..., "args": {{...}}}}, found {json.dumps(value)[:200]}.')
        if not _COMPONENT_NAME.fullmatch(value["name"]):
            raise ConfigError(
                f"{where} names {value['name']!r}; a component is a name in zoo's registry, never an import path."
            )
        args = value.get("args", {})
        if not isinstance(args, dict):
            raise ConfigError(f"{where}: args must be an object, found {type(args).__name__}.")
        return cls(value["name"], args)


@dataclass(frozen=True)
class ModelConfig:
    """How to build a model, what it was made for, and where it came from.

    Attributes:
        architecture: The preset it began as, e.g. "gru-S".
        decoder: The network from features to controls.
        synth: The signal processor from controls to audio.
        instrument: What it plays, e.g. "flute"; None for an architecture.
        sample_rate: Of its audio, in Hz.
        hop: Samples a frame.
        features: How f0 and loudness are to be measured (`zoo.features.FeatureSettings`, as a dict).
        requires: Distributions that bring its components, with the versions it was made with.
        lineage: What it was trained from: data, teacher, run.
    """

    architecture: str
    decoder: ComponentConfig
    synth: ComponentConfig
    instrument: str | None = None
    sample_rate: int = 16000
    hop: int = 64
    features: dict[str, Any] = field(default_factory=dict)
    requires: dict[str, str] = field(default_factory=dict)
    lineage: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`architecture-instrument`, or the architecture alone."""
        return f"{self.architecture}-{self.instrument}" if self.instrument else self.architecture

    def with_changes(self, **changes: Any) -> ModelConfig:  # noqa: ANN401 - the fields' own types
        """A copy with some fields replaced."""
        return replace(self, **changes)

    def build_arguments(self) -> dict[str, Any]:
        """What decides the shapes and meaning of the weights: stored beside them, to notice files that do not fit."""
        return {
            "decoder": asdict(self.decoder),
            "synth": asdict(self.synth),
            "sample_rate": self.sample_rate,
            "hop": self.hop,
        }

    def to_json(self) -> str:
        """The text of config.json: sorted keys, one final newline, the same text for the same config."""
        content = {"format": FORMAT, "config_version": CONFIG_VERSION, "name": self.name, **asdict(self)}
        try:
            return json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"
        except (TypeError, ValueError) as error:
            raise ConfigError(f"The config of {self.name} holds something that JSON cannot: {error}.") from None

    @classmethod
    def from_json(cls, text: str, *, where: str = "config.json") -> ModelConfig:
        """Read the text of a config.json.

        Args:
            text: The file's content.
            where: What messages call it.

        Raises:
            ConfigError: It is not JSON, not ours, from a newer zoo, or a field is missing, unknown or of another type.
        """
        content = _parse(text, where)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ConfigError(f'{where} is not of zoo (it lacks "format": "{FORMAT}"). Is this folder a zoo run?')
        version = content.get("config_version")
        if not isinstance(version, int) or version > CONFIG_VERSION:
            raise ConfigError(
                f"{where} has config version {version}, and this zoo knows {CONFIG_VERSION}: pip install -U ddsp-zoo"
            )
        known = {f.name: f for f in fields(cls)}
        given = {key: value for key, value in content.items() if key not in ("format", "config_version", "name")}
        unknown = set(given) - set(known)
        if unknown:
            first = min(unknown)
            raise ConfigError(f"{where} has unknown fields: {listing(unknown)}.{near_matches(first, known)}")
        missing = {"architecture", "decoder", "synth"} - set(given)
        if missing:
            raise ConfigError(f"{where} lacks {listing(missing)}.")
        expected: dict[str, tuple[type, ...]] = {
            "architecture": (str,),
            "instrument": (str, type(None)),
            "sample_rate": (int,),
            "hop": (int,),
            "features": (dict,),
            "requires": (dict,),
            "lineage": (dict,),
        }
        for key, types in expected.items():
            if key in given and (not isinstance(given[key], types) or isinstance(given[key], bool)):
                raise ConfigError(f"{where}: {key} must be {types[0].__name__}, found {json.dumps(given[key])[:100]}.")
        for part in ("decoder", "synth"):
            given[part] = ComponentConfig.from_dict(given[part], where=f"{where}: {part}")
        config = cls(**given)
        if config.sample_rate <= 0 or config.hop <= 0:
            raise ConfigError(f"{where}: sample_rate and hop must be positive.")
        return config


def _parse(text: str, where: str) -> object:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found: dict[str, object] = {}
        for key, value in pairs:
            if key in found:
                raise ConfigError(f"{where} has the key {key!r} twice.")
            found[key] = value
        return found

    try:
        parsed: object = json.loads(text, object_pairs_hook=unique)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ConfigError(f"{where} is not valid JSON: {error}.") from None
    return parsed
