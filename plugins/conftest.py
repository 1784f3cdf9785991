"""Each plugin's tests run where it is installed; where it is not, they are skipped, with what to type."""

from importlib import metadata
from pathlib import Path

import pytest

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
