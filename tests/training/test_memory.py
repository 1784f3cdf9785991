import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from zoo.training.fit import keep_freed_memory
print(keep_freed_memory() if "keep" in sys.argv else "")
torch.set_num_threads(1)
def step():
    x = torch.ones(20_000_000)
    return float((x * 2 + x).sum())
for _ in range(6):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(*arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, *arguments], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told anything")
def test_freed_memory_is_used_again():
    (faults,) = run()
    kept, faults_then = run("keep")
    assert kept == "True"
    assert int(faults) > 10_000  # 3 x 3 x 80 MB of fresh pages; fewer where the system hands out huge ones
    assert int(faults_then) < int(faults) / 3  # a block may still land elsewhere than before


def test_settings_of_the_user_are_left_alone():
    assert run("keep", MALLOC_TRIM_THRESHOLD_="1000000")[0] == "False"
