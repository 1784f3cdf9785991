"""A real virtual environment that plugins are installed into and removed from, by pip.

What is slow to install (torch and the like) is shared with the environment that runs the tests, by links to its
packages; zoo and everything that plugs into it is left out of those, so that only what was installed from a wheel is
seen, whatever plugins are installed where the tests run.
"""

import os
import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path


class Environment:
    """A virtual environment without zoo."""

    def __init__(self, folder):
        self.folder = folder
        shared = folder / "shared"
        shared.mkdir(parents=True)
        link_packages(shared)
        venv.create(folder / "venv", with_pip=False)
        self.python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
        scheme = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
        self.packages = Path(sysconfig.get_path("purelib", "venv", scheme))
        (self.packages / "zz_shared.pth").write_text(f"{shared}\n")

    def run(self, *arguments, **variables):
        """Run its Python; nothing of the process that runs the tests leads to the checkout."""
        hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "ZOO_NO_PLUGINS")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        environment |= {"PYTHONNOUSERSITE": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        # Compiling the loops anew for this environment would take half a minute; as plain Python they work too.
        # What plain Python leaves in numba's cache, or finds there, is not for others: this environment has its own.
        environment |= {"NUMBA_DISABLE_JIT": "1", "NUMBA_CACHE_DIR": str(self.folder / "numba"), **variables}
        return subprocess.run(
            [self.python, *map(str, arguments)],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def zoo(self, *arguments, **variables):
        """Run `python -m zoo`."""
        return self.run("-m", "zoo", *arguments, **variables)

    def install(self, *wheels):
        """Install wheels as they are: what they require is not looked at, so that it may be missing."""
        self._pip("install", "--no-deps", "--no-index", *wheels)

    def uninstall(self, *distributions):
        """Remove distributions."""
        self._pip("uninstall", "--yes", *distributions)

    def _pip(self, command, *arguments):
        done = self.run("-m", "pip", command, "--quiet", "--disable-pip-version-check", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def link_packages(folder):
    """Links to all that is installed where the tests run, except zoo and its plugins."""
    left_out = {"__pycache__"}
    for distribution in metadata.distributions():
        groups = {point.group for point in distribution.entry_points}
        name = (distribution.metadata["Name"] or "").lower().replace("_", "-")
        if name.startswith("ddsp-zoo") or any(group.startswith("zoo_") for group in groups):
            left_out |= {file.parts[0] for file in distribution.files or ()}
    for place in map(Path, sys.path):
        if not any(place.glob("*.dist-info")):  # the standard library, or a checkout
            continue
        for path in place.iterdir():
            link = folder / path.name
            if path.name not in left_out and path.suffix != ".pth" and not link.is_symlink():
                link.symlink_to(path.resolve())
