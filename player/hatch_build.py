"""Compiles the C library into the wheel, or beside the package where the install is editable."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags


class CompiledLibrary(BuildHookInterface):
    """Adds the library for this machine, and tags the wheel for it."""

    def dependencies(self) -> list[str]:
        """`ziglang`, a C compiler from PyPI (100 MB), only where this machine has none."""
        return [] if self._compiling().system_compiler() else ["ziglang>=0.13"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile. An editable install finds the library in the source folder."""
        compiling = self._compiling()
        package = Path(self.root) / "zoo_player"
        if version == "editable":
            compiling.build_here(package)
            return
        self._folder = tempfile.TemporaryDirectory(prefix="zoo-player-")
        library = compiling.build_here(Path(self._folder.name))
        build_data["force_include"][str(library)] = f"zoo_player/{library.name}"
        build_data["pure_python"] = False
        # The library uses nothing of a Python, so one wheel does for all of them.
        platform = next(tag for tag in platform_tags() if "manylinux" not in tag and "musllinux" not in tag)
        build_data["tag"] = f"py3-none-{platform}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled, now that it is in the wheel."""
        if version != "editable":
            self._folder.cleanup()

    def _compiling(self) -> ModuleType:
        """`zoo_player.build`, by its path: the package needs numpy, which a build has not."""
        path = Path(self.root) / "zoo_player" / "build.py"
        spec = importlib.util.spec_from_file_location("zoo_player_build", path)
        if spec is None or spec.loader is None:
            raise FileNotFoundError(path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
