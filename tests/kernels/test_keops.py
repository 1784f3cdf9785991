"""KeOps: what test_cauchy.py and test_vandermonde.py do not ask of every backend."""

import importlib.util
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
import zoo_kernels
from torch.autograd import gradcheck
from zoo_kernels import _backends, reference

pytestmark = pytest.mark.skipif(importlib.util.find_spec("pykeops") is None, reason="needs the package pykeops")

KERNELS = ("cauchy", "vandermonde")


@pytest.fixture(scope="module")
def modules():
    """The folder of KeOps's compiled modules, among them those that a trial of both kernels needs."""
    for kernel in KERNELS:
        state = _backends.state(kernel, "keops", "cpu")
        if "KeOps needs a C++ compiler" in state or "KEOPS_CACHE_FOLDER" in state:
            pytest.skip(state)
        assert state == "ok"
    import pykeops

    return Path(pykeops.get_build_folder())


def numbers(*shape, dtype=torch.complex128):
    return torch.randn(*shape, dtype=torch.complex128).to(dtype)


def exponents(channels, count, decay=0.1, dtype=torch.complex128):
    rates = -decay * torch.rand(channels, count, dtype=torch.float64)
    return torch.complex(rates, math.pi * torch.rand(channels, count, dtype=torch.float64)).to(dtype)


def close(found, expected, limit):
    return bool((found - expected).abs().max() <= limit * expected.abs().max())


def compare(call, exact, arguments, limit):
    arguments = [argument.requires_grad_() for argument in arguments]
    precise = [argument.detach().to(torch.complex128).requires_grad_() for argument in arguments]
    found, expected = call(*arguments), exact(*precise)
    grad = torch.randn_like(found)
    gradients = torch.autograd.grad(found, arguments, grad)
    wanted = torch.autograd.grad(expected, precise, grad.to(expected.dtype))
    assert close(found, expected, limit)
    assert all(close(a, b, limit) for a, b in zip(gradients, wanted, strict=True))


# M numerators, H channels, N poles, F nodes or L steps: around four numerators, and around 32 steps.
SIZES = [(4, 3, 1, 1), (5, 1, 2, 31), (9, 2, 3, 32), (3, 2, 4, 33), (8, 3, 7, 100)]


@pytest.mark.parametrize(("dtype", "limit"), [(torch.complex64, 2e-6), (torch.complex128, 1e-13)])
@pytest.mark.parametrize("sizes", SIZES)
def test_keops_cauchy_agrees_with_the_reference_at_any_size(modules, sizes, dtype, limit):
    count, channels, poles, nodes = sizes
    w = exponents(channels, poles, 1.0) - 0.1
    arguments = [x.to(dtype) for x in (numbers(count, channels, poles), 3 * numbers(nodes), w)]
    compare(lambda *x: zoo_kernels.cauchy(*x, backend="keops"), reference.cauchy, arguments, limit)


@pytest.mark.parametrize(("dtype", "limit"), [(torch.complex64, 2e-6), (torch.complex128, 1e-13)])
@pytest.mark.parametrize("sizes", SIZES)
def test_keops_vandermonde_agrees_with_the_reference_at_any_size(modules, sizes, dtype, limit):
    count, channels, poles, length = sizes
    arguments = [numbers(count, channels, poles, dtype=dtype), exponents(channels, poles, dtype=dtype)]
    compare(
        lambda *x: zoo_kernels.vandermonde(*x, length, backend="keops"),
        lambda *x: reference.vandermonde(*x, length),
        arguments,
        limit,
    )


def test_keops_gradcheck_of_five_numerators(modules):
    v, z, w = numbers(5, 2, 3).requires_grad_(), numbers(4).requires_grad_(), (exponents(2, 3) - 0.3).requires_grad_()
    gradcheck(lambda *x: zoo_kernels.cauchy(*x, backend="keops"), (v, z, w))
    gradcheck(lambda *x: zoo_kernels.vandermonde(*x, 35, backend="keops"), (v, w))


@pytest.mark.parametrize("decay", [0.0, 1e-4, -1e-4])
def test_keops_vandermonde_keeps_its_phase_over_ten_minutes(modules, decay):
    """150,000 frames: more than one float32 can count off exactly with a phase."""
    arguments = [numbers(1, 1, 3, dtype=torch.complex64), exponents(1, 3, decay, torch.complex64)]
    compare(
        lambda *x: zoo_kernels.vandermonde(*x, 150_000, backend="keops"),
        lambda *x: reference.vandermonde(*x, 150_000),
        arguments,
        1e-5,
    )


def test_keops_compiles_nothing_for_new_sizes(modules):
    def use(*sizes):
        count, channels, poles, length = sizes
        v = numbers(count, channels, poles, dtype=torch.complex64).requires_grad_()
        w = exponents(channels, poles, dtype=torch.complex64).requires_grad_()
        z = numbers(length, dtype=torch.complex64).requires_grad_()
        zoo_kernels.cauchy(v, z, w - 0.1, backend="keops").abs().sum().backward()
        zoo_kernels.vandermonde(v, w, length, backend="keops").sum().backward()

    use(1, 1, 1, 1)
    before = set(modules.iterdir())
    for sizes in [(4, 6, 5, 70), (7, 1, 9, 3), (1, 17, 1, 301)]:
        use(*sizes)
    assert set(modules.iterdir()) == before


def test_keops_makes_no_tensor_of_channels_poles_and_nodes(modules):
    """At H 512, N 32, F 1000 it would take 131 MB; the result takes 16 MB."""
    v = numbers(4, 512, 32, dtype=torch.complex64).requires_grad_()
    w = (exponents(512, 32, dtype=torch.complex64) - 0.1).requires_grad_()
    z = numbers(1000, dtype=torch.complex64).requires_grad_()
    with torch.profiler.profile(profile_memory=True, acc_events=True) as profile:
        zoo_kernels.cauchy(v, z, w, backend="keops").abs().sum().backward()
        zoo_kernels.vandermonde(v, w, 1000, backend="keops").sum().backward()
    assert max(event.cpu_memory_usage for event in profile.events()) < 40e6


def test_keops_uses_the_threads_that_torch_uses(modules):
    from zoo_kernels import _keops

    openmp = _keops._openmp()
    if openmp is None:
        pytest.skip("torch has loaded no OpenMP")
    with _keops._threads(1):
        assert openmp.omp_get_max_threads() == 1
    assert openmp.omp_get_max_threads() == torch.get_num_threads()


def test_keops_prints_of_other_threads_are_left_alone(capsys):
    from zoo_kernels._keops_trouble import listening

    with listening() as said:
        sys.stdout.write("mine\n")
        other = threading.Thread(target=print, args=("another's",))
        other.start()
        other.join()
    sys.stdout.write("later\n")
    assert "".join(said) == "mine\n"
    assert capsys.readouterr().out == "another's\nlater\n"


# From here on in processes of their own, with caches of their own.

USE = """
import sys, torch, zoo_kernels
assert "pykeops" not in sys.modules
v, w = torch.ones(2, 3, 4, dtype=torch.complex64), torch.full((3, 4), -0.1 + 0.2j, requires_grad=True)
zoo_kernels.vandermonde(v, w, 40, backend="keops").sum().backward()
assert torch.isfinite(torch.view_as_real(w.grad)).all()
"""

# Instead of compiling for five seconds it takes what was compiled before, in two steps that take a while.
COMPILER = """#!/bin/sh
while [ $# -gt 0 ]; do [ "$1" = -o ] && out=$2; shift; done
name=$(basename "$out")
[ -f "{here}/broken" ] && echo "$name.cpp:1:1: fatal error: it is broken" >&2 && exit 1
[ -f "{modules}/$name" ] || exit 1
echo "$name" >> "{here}/log"
head -c 100000 "{modules}/$name" > "$out"
sleep 0.2
cp "{modules}/$name" "$out.whole" && cat "$out.whole" > "$out" && rm "$out.whole"
"""


class Machine:
    """Where processes run with a compiler and a cache folder of their own."""

    def __init__(self, here, modules):
        self.here, self.cache, self.log = here, here / "cache", here / "log"
        compiler = here / "compiler"
        compiler.write_text(COMPILER.format(here=here, modules=modules))
        compiler.chmod(0o755)
        self.environment = {"CXX": str(compiler), "KEOPS_CACHE_FOLDER": str(self.cache)}

    def start(self, program):
        return start(program, **self.environment)

    def compiled(self):
        """How many modules were made since this was asked last."""
        made = len(self.log.read_text().splitlines()) if self.log.exists() else 0
        self.log.unlink(missing_ok=True)
        return made

    def files(self, pattern):
        return [path for path in self.cache.glob(f"*/{pattern}") if path.is_file()]


@pytest.fixture
def machine(tmp_path, modules):
    return Machine(tmp_path, modules)


def start(program, *arguments, **environment):
    known = {key: value for key, value in os.environ.items() if key != "CXX"}
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**known, "OMP_NUM_THREADS": "2", **environment},
    )


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out, err


def test_keops_is_silent_and_compiles_once_for_processes_that_start_together(machine):
    processes = [machine.start(USE) for _ in range(2)]
    assert [finish(process) for process in processes] == [("", "")] * 2
    assert machine.compiled() == 2


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_modules_and_index(machine):
    one, other = machine.files("*.so")
    truncate(one)  # loading it would kill the process
    other.write_bytes(b"")
    for index in machine.files("*.pkl"):
        truncate(index)


def lose_what_is_known_of_one(machine):
    for path in [*machine.files("*.pkl"), machine.files("*.nfo")[0]]:
        path.unlink()


def lose_all_but_the_index(machine):
    for path in machine.files("*"):
        if path.suffix != ".pkl":
            path.unlink()


def test_keops_makes_again_what_is_damaged(machine):
    finish(machine.start(USE))
    for damage, lost in [(damage_modules_and_index, 2), (lose_what_is_known_of_one, 1), (lose_all_but_the_index, 2)]:
        machine.compiled()
        damage(machine)
        assert finish(machine.start(USE)) == ("", "")
        assert machine.compiled() == lost, damage.__name__


THREADS = """
import os, signal, threading, torch
from zoo_kernels import _keops, reference, vandermonde

_keops._WORTH_DIVIDING_US = 0.0  # divide all work among threads
torch.set_num_threads(2)
signal.alarm(60)
inputs = [(torch.randn(1, 3 + i, 4, dtype=torch.complex64), -0.1 * torch.rand(3 + i, 4) + 0j) for i in range(4)]
expected = [reference.vandermonde(v, w, 5000) for v, w in inputs]
right = []

def work(i):
    found = [vandermonde(*inputs[i], 5000, backend="keops") for _ in range(5)]
    right.append(all(torch.allclose(x.double(), expected[i], atol=1e-3) for x in found))

threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
work(0)
child = os.fork()
if child == 0:
    signal.alarm(30)
    work(0)
    os._exit(0 if all(right) else 1)
print(right, os.waitpid(child, 0)[1])
"""


def test_keops_works_in_several_threads_and_in_a_forked_child(machine):
    assert finish(machine.start(THREADS)) == (f"{[True] * 5} 0\n", "")


LATER = (
    USE
    + """
open(sys.argv[1] + "/broken", "w")
try:
    zoo_kernels.vandermonde(v.to(torch.complex128), w.to(torch.complex128), 40, backend="keops")
except RuntimeError as error:
    print(error, error.__cause__)
"""
)


def test_keops_that_cannot_compile_a_later_formula_says_why(machine):
    process = start(LATER, str(machine.here), **machine.environment)
    out, err = finish(process)
    assert "KeOps could not compile with" in out
    assert "fatal error: it is broken) None" in out
    assert len(out.splitlines()) == 1
    assert err == ""


REFUSED = """
import sys, warnings
sys.modules["numba"] = None
import torch, zoo_kernels
v, w = torch.ones(2, 3, 4, dtype=torch.complex64), torch.full((3, 4), -0.1 + 0.2j)
for kernel, arguments in (("cauchy", (v, v[0, 0], w)), ("vandermonde", (v, w, 40))):
    try:
        getattr(zoo_kernels, kernel)(*arguments, backend="keops")
    except RuntimeError as error:
        print(error)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert getattr(zoo_kernels, kernel)(*arguments).shape[:2] == (2, 3)
    print(*[str(warning.message) for warning in caught if "keops" in str(warning.message)], sep="|")
"""


def no_compiler(folder):
    (folder / "empty").mkdir()
    return {"PATH": str(folder / "empty"), "KEOPS_CACHE_FOLDER": str(folder / "cache")}


def compiler_that_is_not_there(folder):
    return {**no_compiler(folder), "CXX": str(folder / "nowhere")}


def failing_compiler(folder):
    compiler = folder / "compiler"
    compiler.write_text("#!/bin/sh\necho 'a.cpp:1:10: fatal error: Python.h: No such file or directory' >&2\nexit 1\n")
    compiler.chmod(0o755)
    return {"CXX": str(compiler), "KEOPS_CACHE_FOLDER": str(folder / "cache")}


def home_in_a_file(folder):
    (folder / "file").write_text("")
    return {"HOME": str(folder / "file"), "KEOPS_CACHE_FOLDER": None}


def broken_package(folder):
    (folder / "pykeops").mkdir()
    (folder / "pykeops" / "__init__.py").write_text("print('hello')\nraise TypeError('it is broken\\nand long')\n")
    return {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (no_compiler, "KeOps needs a C++ compiler, and none was found (looked for $CXX, g++, clang++)"),
        (compiler_that_is_not_there, "nowhere, g++, clang++)"),
        (failing_compiler, "(a.cpp:1:10: fatal error: Python.h: No such file or directory)"),
        (home_in_a_file, "KeOps cannot write what it compiles (Not a directory: "),
        (broken_package, "pykeops cannot be imported (TypeError: it is broken)"),
    ],
)
def test_keops_that_is_unusable_names_the_reason_and_auto_does_without(trouble, reason, tmp_path, monkeypatch):
    for key, value in trouble(tmp_path).items():
        monkeypatch.delenv(key, raising=False) if value is None else monkeypatch.setenv(key, value)
    out, err = finish(start(REFUSED, **({"CXX": os.environ["CXX"]} if "CXX" in os.environ else {})))
    lines = out.splitlines()
    assert len(lines) == 4
    for kernel, refusal, warning in zip(KERNELS, lines[::2], lines[1::2], strict=True):
        assert refusal.startswith(f"The backend 'keops' of {kernel} does not work here (")
        assert reason in refusal
        if kernel == "vandermonde":
            assert warning == ""  # torch is faster, and goes before
            continue
        assert reason in warning
        assert warning.count("falls back") == 1
    assert err == ""
