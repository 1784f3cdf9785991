"""Plugins laid out in a folder as an installer leaves them, without building a wheel."""

import shutil

from building import MODELS


def lay_out(folder, distribution, version, entry_points, files, requires=()):
    """What an installer leaves: a dist-info folder, and the package's files."""
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = [f"Name: {distribution}", f"Version: {version}", *(f"Requires-Dist: {line}" for line in requires)]
    (info / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")
    (info / "entry_points.txt").write_text(entry_points)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def lay_out_shipping(folder, distribution, package, files):
    lay_out(
        folder,
        distribution,
        "1.2",
        f"[zoo_resources]\n{package} = {package}\n",
        {f"{package}/__init__.py": "raise RuntimeError('imported')", **{f"{package}/{k}": v for k, v in files.items()}},
    )


def lay_out_model(folder, package, name):
    shutil.copytree(MODELS / "gru-M-tones", folder / package / "model_cards" / name)
