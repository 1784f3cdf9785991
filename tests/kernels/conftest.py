import pytest
import zoo_kernels


def pytest_generate_tests(metafunc):
    """`cauchy_backend` and `vandermonde_backend` run a test with every backend of that kernel."""
    for kernel in ("cauchy", "vandermonde"):
        if f"{kernel}_backend" in metafunc.fixturenames:
            names = list(zoo_kernels._backends.TABLE[kernel])
            metafunc.parametrize(f"{kernel}_backend", names, indirect=True)


def _working(kernel, name):
    state = zoo_kernels._backends.state(kernel, name, "cpu")
    # Only what this machine lacks is left out; a backend that is broken fails its tests.
    lacking = ("No module named 'pykeops'", "KeOps needs a C++ compiler", "KEOPS_CACHE_FOLDER")
    if name == "keops" and any(reason in state for reason in lacking):
        pytest.skip(f"{name} does not work here: {state}")
    assert state == "ok"
    return name


@pytest.fixture
def cauchy_backend(request):
    return _working("cauchy", request.param)


@pytest.fixture
def vandermonde_backend(request):
    return _working("vandermonde", request.param)
