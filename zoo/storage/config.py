"""What a model is made of, as plain data: ModelConfig <-> config.json.

A config names registry components and plain arguments, never an import path, so that reading one runs no code.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from zoo.checks import limits, strict_json
from zoo.checks.path_names import check_path_name
from zoo.checks.text_files import read_bounded
from zoo.errors import CheckpointError, ConfigError, ForeignConfigError, listing, near_matches
from zoo.storage.lineage import check_lineage, without_repeats
from zoo.storage.model_range import ModelRange
from zoo.storage.run_files import CONFIG

FORMAT = "ddsp-zoo"
CONFIG_VERSION = 3
"""The newest that is read. A config is written as one of the oldest version that can say what it says: `weights_dtype`
came with version 2, `range` with version 3."""

WEIGHTS_DTYPES = ("float16",)
"""What weights may be stored as, other than as they are in memory."""

MAX_CONFIG_BYTES = 1_000_000

_COMPONENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
# What may stand in a command that a message tells people to type: never more than a name and a version.
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]{0,99}")
_MOST_REQUIRED = 20
_ARCHITECTURE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_INSTRUMENT = re.compile(r"\w[\w .-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


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
                f"{where} names {limits.short(value['name'])}; a component is a name in zoo's registry, never an "
                "import path."
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
        hop: Samples per frame.
        features: How f0 and loudness are to be measured (`zoo.features.FeatureSettings`, as a dict).
        requires: Distributions that bring its components, with the versions it was made with.
        lineage: What it was trained from: data, teacher, run.
        weights_sha256: Of the file model.safetensors that was saved with it; None before that.
        weights_dtype: What the larger parameters in that file were rounded to, e.g. "float16"; None where all are as
            they were in memory. A model that is loaded is float32 in either case.
        range: Which pitches and loudnesses it was trained on; None where that is unknown.
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
    weights_sha256: str | None = None
    weights_dtype: str | None = None
    range: ModelRange | None = None

    @property
    def name(self) -> str:
        """`architecture-instrument`, or the architecture alone, also where that ends with the instrument already."""
        if self.instrument is None or self.architecture.endswith(f"-{self.instrument}"):
            return self.architecture
        return f"{self.architecture}-{self.instrument}"

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
        # what an older zoo can read, it shall read; what it cannot, it shall refuse for its version
        version = 3 if self.range is not None else 2 if self.weights_dtype is not None else 1
        content = {"format": FORMAT, "config_version": version, "name": self.name, **asdict(self)}
        content["range"] = None if self.range is None else self.range.to_dict()
        content["lineage"] = without_repeats(self.lineage)
        for key in ("weights_sha256", "weights_dtype", "range"):
            if content[key] is None:
                del content[key]
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
            ForeignConfigError: It is not JSON, or not ours.
            ConfigError: It is from a newer zoo, or a field is missing, unknown or of another type.
        """
        content = _parse(text, where)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ForeignConfigError(
                f'{where} is not of zoo (it lacks "format": "{FORMAT}"). Is this folder a zoo run?'
            )
        version = content.get("config_version")
        if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= CONFIG_VERSION:
            raise ConfigError(
                f"{where} has config version {limits.short(version)}, and this zoo knows {CONFIG_VERSION}: "
                "pip install -U ddsp-zoo"
            )
        known = {f.name: f for f in fields(cls)}
        given = {key: value for key, value in content.items() if key not in ("format", "config_version", "name")}
        unknown = set(given) - set(known)
        if unknown:
            first = min(unknown)
            raise ConfigError(f"{where} has unknown fields: {listing(unknown)[:300]}.{near_matches(first, known)}")
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
            "weights_sha256": (str, type(None)),
            "weights_dtype": (str, type(None)),
        }
        for key, types in expected.items():
            if key in given and (not isinstance(given[key], types) or isinstance(given[key], bool)):
                raise ConfigError(f"{where}: {key} must be {types[0].__name__}, found {json.dumps(given[key])[:100]}.")
        for part in ("decoder", "synth"):
            given[part] = ComponentConfig.from_dict(given[part], where=f"{where}: {part}")
        if given.get("range") is not None:
            given["range"] = ModelRange.from_dict(given["range"], where=f"{where}: range")
        config = cls(**given)
        limits.check_rates(config.sample_rate, config.hop, where=where)
        _check_texts(config, where)
        return config


def read_config(folder: str | Path) -> ModelConfig:
    """Read a run folder's config.json.

    Raises:
        CheckpointError: The folder has none, or it is too large to be one.
        ForeignConfigError: It is not one of ours.
        ConfigError: It is damaged, or from a newer zoo.
    """
    path = Path(folder) / CONFIG
    if not path.exists():
        raise CheckpointError(
            f"{folder} has no {CONFIG}, so it is no model. A model is a folder that zoo.save, zoo train or "
            "zoo distill wrote."
        )
    fix = "Copy or download the model again."
    text = read_bounded(path, most_bytes=MAX_CONFIG_BYTES, error=CheckpointError, fix=fix)
    return ModelConfig.from_json(text, where=str(path))


def check_instrument(instrument: object, where: str) -> None:
    """Make sure that a word from outside can be an instrument's name: models and folders are called after it.

    Args:
        instrument: The word.
        where: What messages call it, e.g. "The instrument".

    Raises:
        ConfigError: It cannot.
    """
    fix = "An instrument is a word such as flute or electric_guitar."
    name = check_path_name(instrument, where, fix=fix)
    if not _INSTRUMENT.fullmatch(name):
        raise ConfigError(f"{where} {name!r} is refused: it is no instrument's name. {fix}")


def _check_texts(config: ModelConfig, where: str) -> None:
    """Texts that become names, commands or comparisons must look like what they are."""
    if not _ARCHITECTURE.fullmatch(config.architecture):
        raise ConfigError(f"{where}: {limits.short(config.architecture)} is no architecture's name.")
    if config.instrument is not None and not _INSTRUMENT.fullmatch(config.instrument):
        raise ConfigError(f"{where}: {limits.short(config.instrument)} is no instrument's name.")
    check_path_name(config.name, f"{where}: the model's name")  # folders are called after it
    if config.weights_sha256 is not None and not _SHA256.fullmatch(config.weights_sha256):
        raise ConfigError(f"{where}: weights_sha256 must be 64 hexadecimal digits.")
    if config.weights_dtype is not None and config.weights_dtype not in WEIGHTS_DTYPES:
        raise ConfigError(
            f"{where}: weights_dtype is {config.weights_dtype!r}, and this zoo knows {listing(WEIGHTS_DTYPES)}: "
            "pip install -U ddsp-zoo"
        )
    if len(config.requires) > _MOST_REQUIRED:
        raise ConfigError(f"{where}: requires names {len(config.requires)} packages; {_MOST_REQUIRED} are the most.")
    check_lineage(config.lineage, where=f"{where}: lineage")
    for name, version in config.requires.items():
        if not (_DISTRIBUTION.fullmatch(name) and isinstance(version, str) and _VERSION.fullmatch(version)):
            found = f"{limits.short(name)} {limits.short(version)}"
            raise ConfigError(f"{where}: requires names {found}, which is no package with a version.")


def _parse(text: str, where: str) -> object:
    try:
        return strict_json.parse(text)
    except ValueError as error:
        raise ForeignConfigError(f"{where} is not valid JSON: {str(error).rstrip('.')}.") from None
