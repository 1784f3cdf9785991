"""What the pages and docstrings show works as shown."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest
import torch
import zoo_kernels
from building import PLUGINS

import zoo
from zoo.__main__ import COMMANDS

CHECKOUT = Path(__file__).parent.parent
RUNNABLE = [CHECKOUT / "docs" / "streaming.md"]  # their Python runs as it stands, from top to bottom
PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]


def modules():
    for package in (zoo, zoo_kernels):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield found.name


@pytest.mark.parametrize("name", sorted(modules()))
def test_examples_in_docstrings_run_as_shown(name):
    module = importlib.import_module(name)
    globs = {"zoo": zoo, "torch": torch, "zoo_kernels": zoo_kernels}
    result = doctest.testmod(module, extraglobs=globs, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_python_on_the_page_runs_as_shown(page):
    namespace = {}
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_links_within_the_checkout_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_commands_on_the_pages_exist(page):
    commands = set(re.findall(r"python -m zoo[. ]([a-z][a-z-]*)", page.read_text()))
    assert commands <= set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_gin_files_on_the_pages_exist(page):
    named = re.findall(r"--gin ([\w./-]+\.gin)", page.read_text())
    shipped = [name for name in named if name.split("/")[0] in ("train", "distill", "quickstart.gin")]
    assert [name for name in shipped if not (CHECKOUT / "gin" / name).is_file()] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_test_command_installs_every_plugin_of_the_checkout(name, plugin):
    (command,) = re.findall(r"^pip install .*kernels .*(?:test|dev).*$", (CHECKOUT / name).read_text(), re.MULTILINE)
    assert f"./plugins/{plugin.name} " in f"{command} "
