"""`benchmarks/listing.py` with a few plugins: listing models imports none of them, and that check can fail."""

import importlib.util
from pathlib import Path

import pytest

COUNT = 5


@pytest.fixture(scope="module")
def benchmark():
    path = Path(__file__).parents[2] / "benchmarks" / "listing.py"
    spec = importlib.util.spec_from_file_location("listing_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(benchmark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("many") / "site"
    benchmark.install(COUNT, folder)
    return folder


def test_listing_many_plugins_imports_none_of_them(benchmark, site):
    medians, problems = benchmark.measure(COUNT, site, repeats=1)
    assert problems == []
    assert set(medians["with"]) == {"import zoo", "first call", "second call", "process"}
    assert f"| {COUNT} plugins, ms |" in benchmark.table(medians, COUNT)


def test_what_a_plugin_brings_works_so_that_not_importing_it_means_something(benchmark, site):
    code = (
        "import json, sys; from zoo import registry; registry.metrics.get('bench3-metric_two');"
        "from zoo.gin_config.files import shipped_gin_files;"
        "print(json.dumps({'names': [], 'imported': [n for n in sys.modules if n.startswith('bench_plugin_')],"
        "'torch': 'torch' in sys.modules, 'gin': shipped_gin_files()}))"
    )
    found = benchmark.run(code, site)
    assert {f"train/bench-plugin-{number}.gin" for number in range(COUNT)} <= set(found["gin"])
    missing, imported, torch = benchmark.problems_of(found, 1)
    assert missing == "not listed: bench0-large, bench0-small, gru-S-bench0"
    assert imported == "imported: bench_plugin_3"
    assert torch == "torch was imported"
