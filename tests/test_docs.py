"""What the pages and docstrings show works as shown."""

import doctest
import importlib
import json
import pkgutil
import re
from pathlib import Path

import pytest
import torch
import zoo_kernels
from building import PLUGINS

import zoo
import zoo.datasets.tones
import zoo.features
import zoo.registry
import zoo.registry.paths

CHECKOUT = Path(__file__).parent.parent
RUNNABLE = [
    CHECKOUT / "docs" / name for name in ("export.md", "live.md", "streaming.md")
]  # their Python runs as it stands, from top to bottom
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
def test_python_on_the_page_runs_as_shown(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # what it writes
    namespace = {}
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_names_that_python_on_the_page_imports_exist(page):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    for line in (line for block in blocks for line in block.splitlines()):
        if re.match(r"(from|import) (zoo|zoo_kernels)\b", line) and not line.endswith("("):
            exec(line, {})


def test_training_of_the_readme_runs_as_shown(tmp_path, monkeypatch):
    """As it stands, but for fewer steps, a smaller teacher, and four short recordings."""
    for recording in zoo.datasets.tones.tones(phrases=4, seconds=1.2):
        path = tmp_path / "recordings" / "flute" / f"{recording.id}.wav"
        zoo.features.write_wav(path, recording.load(16000), sample_rate=16000)
    blocks = re.findall(r"```python\n(.*?)```", (CHECKOUT / "README.md").read_text(), re.DOTALL)
    (block,) = (block for block in blocks if "from zoo.training import" in block)
    block, counts = re.subn(r"steps=[\d_]+", "steps=2", block.replace("gru-L", "gru-S"))
    assert counts == 2
    monkeypatch.chdir(tmp_path)
    exec(block, {})
    assert set(json.loads((tmp_path / "runs" / "flute-S" / "metrics.json").read_text())) >= {"teacher", "student"}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_links_within_the_checkout_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_commands_on_the_pages_exist(page):
    text = page.read_text()
    typed = [*"\n".join(code_in(text)).splitlines(), *re.findall(r"`(zoo [^`]+)`", text)]
    commands = {found[1] for line in typed if (found := re.match(r"(?:python -m zoo[. ]|zoo )([a-z][a-z-]*)", line))}
    assert commands <= set(zoo.registry.commands)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_gin_files_on_the_pages_exist(page):
    named = re.findall(r"--gin ([\w./-]+\.gin)", page.read_text())
    shipped = [name for name in named if name.split("/")[0] not in ("runs", "my")]
    folders = [CHECKOUT / "gin", *CHECKOUT.glob("plugins/*/*/gin")]
    assert [name for name in shipped if not any((folder / name).is_file() for folder in folders)] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_test_command_installs_every_plugin_of_the_checkout(name, plugin):
    assert f"./plugins/{plugin.name} " in f"{installing(name)} "


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_test_command_installs_the_trained_models(name):
    assert " ./model_cards " in f"{installing(name)} "


def installing(name):
    (command,) = re.findall(r"^pip install .*kernels .*(?:test|dev).*$", (CHECKOUT / name).read_text(), re.MULTILINE)
    return command


def test_loudness_that_the_data_page_names_is_that_of_the_shipped_models():
    """Its default, and for the models that it names the one that its command sets."""
    told = section(CHECKOUT / "docs" / "data.md", "### Loudness and level")
    named = set(re.findall(r"`([\w-]+)`, which has the thesis's loudness", told))
    (command,) = (block for block in code_in(told) if block.startswith("zoo prepare"))
    options = dict(re.findall(r"--(loudness|normalize) (\w+)", command))
    shipped = {
        path.parent.name: zoo.features.FeatureSettings.from_dict(json.loads(path.read_text())["features"])
        for path in CHECKOUT.glob("model_cards/*/config.json")
    }
    usual = zoo.features.FeatureSettings()
    others = {name for name, settings in shipped.items() if settings.loudness != usual.loudness}
    assert others == named
    assert {(shipped[name].loudness, shipped[name].normalize) for name in others} == {
        (options["loudness"], options["normalize"])
    }
    assert {shipped[name].normalize for name in shipped.keys() - others} == {usual.normalize}


PLUGINS_PAGE = CHECKOUT / "docs" / "plugins.md"
EXAMPLE = CHECKOUT / "plugins" / "zoo-example"


def section(page, heading):
    """What stands under a heading, down to the next one of its level or a higher one."""
    _, _, rest = page.read_text().partition(f"\n{heading}\n")
    level = heading.index(" ")
    parts = re.split(r"(^```.*?^```$)", rest, flags=re.DOTALL | re.MULTILINE)  # in code, # begins a comment
    kept = []
    for part in parts:
        ends = None if part.startswith("```") else re.search(rf"^#{{1,{level}}} ", part, re.MULTILINE)
        kept.append(part[: ends.start()] if ends else part)
        if ends:
            break
    return "".join(kept)


def code_in(text):
    return re.findall(r"^```\w*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def files_of_the_example():
    """All that is its own, but its README."""
    ours = ("pyproject.toml", "zoo_example/**/*.py", "zoo_example/**/*.gin", "tests/*.py")
    return sorted(path.relative_to(EXAMPLE).as_posix() for pattern in ours for path in EXAMPLE.glob(pattern))


@pytest.mark.parametrize("name", files_of_the_example())
def test_plugin_guide_shows_every_line_of_the_example(name):
    shown = "".join(code_in(section(PLUGINS_PAGE, f"### `{name}`")))
    lines = [line for line in (EXAMPLE / name).read_text().splitlines() if line.strip()]
    assert [line for line in shown.splitlines() if line.strip()] == lines


def test_plugin_guide_s_notebook_runs_as_shown_and_its_messages_are_real():
    (cell,) = code_in(section(PLUGINS_PAGE, "## In a notebook"))
    namespace = {}
    try:
        exec(cell, namespace)
        assert namespace["model"].name == "linear-S"
    finally:
        zoo.registry.decoders.unregister("linear")
        zoo.registry.models.unregister("linear-S")

    class Forgetful(namespace["Linear"]):
        def __init__(self, *, control_sizes):
            super().__init__(control_sizes=control_sizes)
            del self.heads["noise_bands"]

    Forgetful.__qualname__ = "Forgetful"
    with pytest.raises(AssertionError) as caught:
        zoo.testing.check_decoder(Forgetful)
    assert code_in(section(PLUGINS_PAGE, "## Testing")) == [f"{caught.value}\n"]


def test_plugin_guide_s_synth_keeps_the_promises_of_its_kind_and_makes_a_model():
    (cell,) = code_in(section(PLUGINS_PAGE, "## A synth, line by line"))
    try:
        exec(cell, {})  # it ends with the check
        parts = zoo.models.ComponentConfig("gru", {"hidden_size": 4}), zoo.models.ComponentConfig("two_sines")
        zoo.testing.check_model(lambda: zoo.models.ModelConfig("sines-S", *parts))
    finally:
        zoo.registry.synths.unregister("two_sines")


def test_plugin_guide_names_every_group_and_every_check():
    brought = section(PLUGINS_PAGE, "## What a plugin can add")
    groups = {kind.group for kind in zoo.registry.KINDS.values()} | {zoo.registry.paths.RESOURCES}
    assert set(re.findall(r"`(zoo_\w+)`", brought)) == groups
    assert set(re.findall(r"`(check_\w+)`", brought)) == set(zoo.testing.__all__)
    assert set(re.findall(r"`(\w+)`", section(PLUGINS_PAGE, "## In a notebook"))) >= set(zoo.register.__all__)
