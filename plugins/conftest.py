"""Each plugin's tests run where it is installed; where it is not, they are skipped, with what to type."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from zoo.datasets import Dataset

HERE = Path(__file__).parent


class NotInstalled(pytest.Module):
    """A module of tests that cannot run here."""

    def collect(self) -> list[pytest.Item]:
        """Skip all of it."""
        plugin = plugin_of(self.path)
        pytest.skip(f"ddsp-{plugin} is not installed. Type: pip install ./plugins/{plugin}", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Let pytest import a module of tests only where what it tests is installed."""
    try:
        metadata.version(f"ddsp-{plugin_of(module_path)}")
    except metadata.PackageNotFoundError:
        return NotInstalled.from_parent(parent, path=module_path)
    return None


def plugin_of(path: Path) -> str:
    """The folder of the plugin that a file belongs to: the distribution's name without its "ddsp-"."""
    return path.relative_to(HERE).parts[0]


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's own store."""
    monkeypatch.setenv("ZOO_HOME", str(tmp_path_factory.mktemp("zoo-home")))


@pytest.fixture(scope="session")
def small_tones(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Phrases of a second and a half as segments of half a second: real data, quick to train on."""
    from zoo.datasets import Preparation, open_dataset, prepare_dataset
    from zoo.datasets.tones import tones
    from zoo.features import FeatureSettings

    folder = tmp_path_factory.mktemp("data") / "tones"
    preparation = Preparation(segment_seconds=0.512, min_seconds=0.256, features=FeatureSettings(tracker="yin"))
    prepare_dataset(tones(phrases=10, seconds=1.5), folder, preparation, dataset="tones", name="tones")
    return open_dataset(folder)


@pytest.fixture(scope="session")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory, small_tones: Dataset) -> Path:
    """A saved model with dropout and a longer reverb than its student's; its weights are random, which is enough."""
    import torch

    import zoo

    torch.manual_seed(0)  # the same one whatever ran before
    options = {"input_size": 8, "channels": 8, "output_size": 8, "blocks": 2, "reverb_length": 400}
    teacher = zoo.create("tcn-S", instrument="tones", features=small_tones.features.to_dict(), **options)
    return zoo.save(teacher, tmp_path_factory.mktemp("models") / "teacher")
