"""The built wheels: what is in them, and that they work away from the checkout."""

import os
import subprocess
import sys
import zipfile

from building import CHECKOUT, MODELS

from zoo.registry.paths import QUICK_START_MODEL
from zoo.storage.store import models_in

MEGABYTE = 1_000_000


def tracked(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_wheel_carries_every_gin_file_and_the_quick_start_s_teacher_alone(wheels):
    names = set(zipfile.ZipFile(wheels["ddsp_zoo"]).namelist())
    assert [name for name in tracked(CHECKOUT / "gin") if f"zoo/_shipped/gin/{name}" not in names] == []
    cards = "zoo/_shipped/model_cards/"
    teacher = {f"{cards}{QUICK_START_MODEL}/{name}" for name in tracked(MODELS / QUICK_START_MODEL)}
    assert {name for name in names if name.startswith(cards)} == teacher
    assert {"zoo/py.typed", "zoo/models/presets.py"} <= names
    assert wheels["ddsp_zoo"].stat().st_size < 20 * MEGABYTE


def test_wheel_of_models_carries_every_other_model_and_nothing_else(wheels):
    path = wheels["ddsp_zoo_models"]
    names = {name for name in zipfile.ZipFile(path).namelist() if ".dist-info/" not in name}
    models = models_in(MODELS).keys() - {QUICK_START_MODEL}
    files = {f"zoo_models/model_cards/{model}/{name}" for model in models for name in tracked(MODELS / model)}
    assert names == files | {"zoo_models/__init__.py", "zoo_models/model_cards/README.md"}
    assert path.stat().st_size < 90 * MEGABYTE


def test_wheel_carries_the_files_that_pages_are_made_of(wheels):
    names = set(zipfile.ZipFile(wheels["ddsp_zoo"]).namelist())
    assert {"zoo/cards/template.md", "zoo/export/web_files/index.html", "zoo/export/web_files/worklet.js"} <= names
    names = set(zipfile.ZipFile(wheels["ddsp_zoo_report"]).namelist())
    assert {f"zoo_report/page.{suffix}" for suffix in ("html", "css", "js")} <= names


def test_wheel_carries_the_kernels(wheels):
    names = set(zipfile.ZipFile(wheels["ddsp_zoo_kernels"]).namelist())
    assert {"zoo_kernels/__init__.py", "zoo_kernels/py.typed"} <= names


def test_installed_wheel_works_from_any_folder(wheels, tmp_path):
    target = tmp_path / "site"
    for name in ("ddsp_zoo", "ddsp_zoo_kernels"):
        zipfile.ZipFile(wheels[name]).extractall(target)
    code = (
        "import zoo, zoo_kernels, zoo.registry.paths as p; print(zoo.__file__); print(zoo_kernels.__file__);"
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
