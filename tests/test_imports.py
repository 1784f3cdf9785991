"""What is imported when, and which way imports point."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "zoo"
HEAVY = ("torch", "lightning_fabric", "librosa", "matplotlib", "torchcrepe", "numba", "gin")


def heavy_modules_after(code):
    script = f"{code}\nimport sys; print('heavy:' + ','.join(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].removeprefix("heavy:")


@pytest.mark.parametrize(
    "code",
    [
        "import zoo",
        "import zoo; zoo.list_models()",
        "import zoo; zoo.info('gru-S')",
        "import zoo.__main__; zoo.__main__.main(['list'])",
        "import zoo.__main__; zoo.__main__.main([])",
        "from zoo import checks, errors, hub, registry",
        "from zoo.commands import cli; from zoo.models import naming; from zoo.storage import config",
    ],
)
def test_listing_imports_nothing_heavy(code):
    assert heavy_modules_after(code) == ""


def test_every_subpackage_is_an_attribute_of_zoo():
    folders = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
    internal = {"bench", "cards", "checks", "commands", "hub"}  # no page writes them as attributes
    code = f"import zoo; print([name for name in {sorted(set(folders) - internal)} if not hasattr(zoo, name)])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_loading_a_model_imports_neither_torchs_compiler_nor_sympy():
    code = "import sys, zoo; zoo.load('gru-M-tones'); print({'torch._dynamo', 'sympy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_check_for_heavy_imports_can_fail():
    assert "torch" in heavy_modules_after("import zoo.models.model").split(",")


# Lower layers may not import higher ones, wherever in a module the import stands.
LAYERS = [
    {"__main__", "commands", "prepare", "train", "distill", "evaluate"},
    {"gin_config", "testing", "export", "bench", "live"},
    {"training", "report"},
    {"resolve", "listing"},
    {"hub", "cards"},
    {"streaming"},
    {"models"},
    {"storage", "features", "decoders", "synths", "losses", "datasets", "metrics", "executors", "loggers"},
    {"registry"},
    {"checks"},
    {"errors"},
]
# `Model.from_pretrained` and its siblings import inside their bodies: the spellings that people know.
ALLOWED = {("models", "resolve")}


def layer_of(name):
    return next(i for i, names in enumerate(LAYERS) if name in names)


def without_types(tree):
    """Walk a module's code; what stands under `if TYPE_CHECKING:` is never imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from without_types(node)


def imports_of(path):
    for node in without_types(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "zoo":
            parts = node.module.split(".")
            if len(parts) == 1:
                yield from (alias.name for alias in node.names)
            else:
                yield parts[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("zoo."))


def upward_imports(package):
    found = []
    for path in package.rglob("*.py"):
        relative = path.relative_to(package)
        own = relative.parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for imported in imports_of(path):
            if layer_of(imported) < layer_of(own) and (own, imported) not in ALLOWED:
                found.append(f"{relative} imports zoo.{imported}")
    return found


def test_imports_point_downwards_only():
    assert upward_imports(PACKAGE) == []


def test_check_of_layers_can_fail(tmp_path):
    (tmp_path / "errors.py").write_text("from zoo.models.model import Model\n")
    assert upward_imports(tmp_path) == ["errors.py imports zoo.models"]


def test_kernels_know_nothing_of_zoo():
    kernels = PACKAGE.parent / "kernels" / "zoo_kernels"
    assert [path for path in kernels.rglob("*.py") if list(imports_of(path))] == []


PLUGINS = sorted(PACKAGE.parent.glob("plugins/zoo-*/zoo_*"))


def reached_into(path):
    """What a file imports of zoo that no package of zoo exports."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [(node.module or "", alias.name) for alias in node.names]
        else:
            continue
        for module, name in names:
            if module.split(".")[0] == "zoo" and not is_exported(module, name):
                found.append(f"{path.name}: {module} {name}".rstrip())
    return found


def is_exported(module, name):
    """A folder's own name, or one that its `__init__` gives to others; of single files `errors` alone is for others."""
    parts = module.split(".")
    if len(parts) > 2 or (len(parts) == 2 and not (PACKAGE / parts[1]).is_dir() and parts[1] != "errors"):
        return False
    return not name or (not name.startswith("_") and hasattr(importlib.import_module(module), name))


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_plugins_import_exported_names_only(plugin):
    assert [line for path in plugin.rglob("*.py") for line in reached_into(path)] == []


def test_check_of_exported_names_can_fail(tmp_path):
    path = tmp_path / "synth.py"
    path.write_text("from zoo.synths.pitched import PitchedSynth\nfrom zoo.synths import Nothing, PitchedSynth as P\n")
    assert reached_into(path) == ["synth.py: zoo.synths.pitched PitchedSynth", "synth.py: zoo.synths Nothing"]


@pytest.mark.parametrize("folder", ["gin", "kernels"])
def test_data_folders_are_no_packages(folder):
    assert not (PACKAGE.parent / folder / "__init__.py").exists(), "it would shadow the library of that name"
