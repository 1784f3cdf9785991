"""Plugins that are wrong, each in its own way, as source that real wheels are built from."""

from dataclasses import dataclass, field

MODEL = """
from zoo.storage.config import ComponentConfig, ModelConfig

def small():
    return ModelConfig("{name}", ComponentConfig("gru", {{"hidden_size": 8}}), ComponentConfig("harmonic_noise"))
"""


@dataclass
class Made:
    """A plugin with the model that it brings, and what is to be seen when that is asked for.

    Attributes:
        distribution: Its name.
        model: The name of its model.
        source: Of its only module; `imported` is what must never be seen where a message is enough.
        said: Parts of the message, beside its name and version.
        requires: In its metadata.
    """

    distribution: str
    model: str
    source: str
    said: list[str] = field(default_factory=list)
    requires: list[str] = field(default_factory=lambda: ["ddsp-zoo>=0.1"])

    @property
    def package(self):
        return self.distribution.replace("-", "_")

    def write(self, folder):
        """Write its project."""
        (folder / self.package).mkdir(parents=True)
        (folder / self.package / "__init__.py").write_text(self.source)
        (folder / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
            f'[project]\nname = "{self.distribution}"\nversion = "1.2"\ndependencies = {self.requires!r}\n'
            f'[project.entry-points.zoo_models]\n"{self.model}" = "{self.package}:small"\n'
        )
        return folder


RAISES = Made(
    "zoo-raises",
    "raises-S",
    "raise ImportError('libbuzz.so.3: cannot open shared object file')",
    ["cannot be imported", "libbuzz.so.3: cannot open", "pip install --force-reinstall zoo-raises"],
)
LACKS = Made(
    "zoo-lacks",
    "lacks-S",
    "import kazoo_sounds",
    ["needs kazoo-sounds>=2, which is not installed", 'pip install "kazoo-sounds>=2"'],
    ["ddsp-zoo>=0.1", "kazoo-sounds>=2"],
)
NEWER = Made(
    "zoo-newer",
    "newer-S",
    "raise RuntimeError('imported')",
    ["made for a newer zoo: it needs ddsp-zoo>=99", 'pip install -U "ddsp-zoo>=99"'],
    ["ddsp-zoo>=99"],
)
CLASH = "offered by zoo-clash-one 1.2 and zoo-clash-two 1.2. One name must mean one thing: uninstall one of them"
ONE = Made("zoo-clash-one", "clash-S", MODEL.format(name="clash-S"), [CLASH])
TWO = Made("zoo-clash-two", "clash-S", MODEL.format(name="clash-S"), [CLASH])

BROKEN = {"import error": [RAISES], "missing dependency": [LACKS], "newer zoo": [NEWER], "clash": [ONE, TWO]}
EVERY_ONE = [made for plugins in BROKEN.values() for made in plugins]
