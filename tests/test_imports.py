"""What is imported when, and which way imports point."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "zoo"
HEAVY = ("torch", "lightning", "librosa", "matplotlib", "torchcrepe", "numba", "gin")


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
        "from zoo import registry, naming, config, paths, errors, hub, cli",
    ],
)
def test_listing_imports_nothing_heavy(code):
    assert heavy_modules_after(code) == ""


def test_check_for_heavy_imports_can_fail():
    assert "torch" in heavy_modules_after("import zoo.model").split(",")


# Lower layers may not import higher ones. A module stands in the first layer that its name begins with.
LAYERS = [
    {
        "__main__",
        "commands",
        "prepare",
        "train",
        "distill",
        "evaluate",
        "doctor",
        "surroundings",
        "configure",
        "gin_files",
        "gin_bounds",
        "gin_program",
    },
    {"training", "testing", "report", "compacting"},
    {"hub", "card", "listing"},
    {"thesis"},
    {"checkpoint", "own_numbers"},
    {"player"},
    {"model", "presets"},
    {"fit", "levelling", "long_rendering"},
    {"parts", "rendering"},
    {"decoders", "synths", "losses", "features", "datasets", "metrics"},
    {
        "architectures",
        "registry",
        "requirements",
        "register",
        "naming",
        "config",
        "model_range",
        "weights_header",
        "strict_json",
        "run_files",
        "store",
        "lineage",
        "paths",
        "plugins",
        "plugin_imports",
        "plugin_trials",
        "files",
        "locks",
        "streams",
        "reading",
        "lock_files",
        "exchange",
        "cli",
        "limits",
        "bounded_files",
        "lineage_types",
        "metrics_file",
        "skip_init",
        "build_guard",
        "result_sizes",
        "parent_watch",
    },
    {"options", "path_names", "plain_text", "text_files"},
    {"errors"},
]
# `model.save_pretrained` and `Model.from_pretrained` import inside their bodies: the spellings that people know.
ALLOWED = {("model", "checkpoint"), ("model", "hub")}


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
    (tmp_path / "errors.py").write_text("from zoo.model import Model\n")
    assert upward_imports(tmp_path) == ["errors.py imports zoo.model"]


def test_kernels_know_nothing_of_zoo():
    kernels = PACKAGE.parent / "kernels" / "zoo_kernels"
    assert [path for path in kernels.rglob("*.py") if list(imports_of(path))] == []


@pytest.mark.parametrize("folder", ["gin", "kernels"])
def test_data_folders_are_no_packages(folder):
    assert not (PACKAGE.parent / folder / "__init__.py").exists(), "it would shadow the library of that name"
