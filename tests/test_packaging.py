"""The built wheels: what is in them, and that they work away from the checkout."""

import os
import subprocess
import sys
import zipfile

import pytest
from building import CHECKOUT


def tracked(folder):
    root = CHECKOUT / folder
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("folder", ["gin", "model_cards"])
def test_wheel_carries_every_shipped_file(wheels, folder):
    names = set(zipfile.ZipFile(wheels["ddsp_zoo"]).namelist())
    assert [name for name in tracked(folder) if f"zoo/_shipped/{folder}/{name}" not in names] == []
    assert {"zoo/py.typed", "zoo/presets.py"} <= names


def test_wheel_carries_the_files_that_pages_are_made_of(wheels):
    names = set(zipfile.ZipFile(wheels["ddsp_zoo"]).namelist())
    assert {f"zoo/report/page.{suffix}" for suffix in ("html", "css", "js")} <= names
    assert "zoo/card/template.md" in names


def test_wheel_carries_the_kernels(wheels):
    names = set(zipfile.ZipFile(wheels["ddsp_zoo_kernels"]).namelist())
    assert {"zoo_kernels/__init__.py", "zoo_kernels/py.typed"} <= names


def test_installed_wheel_works_from_any_folder(wheels, tmp_path):
    target = tmp_path / "site"
    for name in ("ddsp_zoo", "ddsp_zoo_kernels"):
        zipfile.ZipFile(wheels[name]).extractall(target)
    code = (
        "import zoo, zoo_kernels, zoo.paths as p; print(zoo.__file__); print(zoo_kernels.__file__);"
        "print(zoo.list_models()); print([f for f in p.gin_folders() if (f / 'quickstart.gin').is_file()])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )
    package, kernels, models, gin = done.stdout.splitlines()
    assert package.startswith(str(target)), done.stderr
    assert kernels.startswith(str(target))
    assert "gru-L" in models
    assert str(target) in gin
