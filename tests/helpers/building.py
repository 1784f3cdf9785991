"""Build real wheels, as `pip` does from a checkout, with the build backend that is installed here: no network."""

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
MODELS = CHECKOUT / "model_cards"
PLUGINS = sorted(path.parent for path in CHECKOUT.glob("plugins/*/pyproject.toml"))


def build_wheels(projects, folder):
    """Wheels by the name that their files begin with, e.g. `ddsp_zoo`."""
    command = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    command += [str(project) for project in projects]
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.name.split("-")[0]: path for path in sorted(folder.glob("*.whl"))}
