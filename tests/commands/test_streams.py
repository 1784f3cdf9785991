import os
import subprocess
import sys

import pytest


def zoo(shell, **options):
    return subprocess.run(
        ["bash", "-c", shell.replace("zoo ", f"{sys.executable} -m zoo ")], capture_output=True, text=True, **options
    )


@pytest.mark.parametrize("shell", ["zoo list >&-", "zoo list 2>&- >&-", "zoo list <&- >&- 2>&-", "zoo info gru-S >&-"])
def test_command_without_streams_ends_well_and_says_nothing(shell):
    done = zoo(shell)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("shell", ["zoo list | true", "zoo info gru-S --json | head -c 1", "zoo --help | true"])
def test_reader_that_went_away_is_no_error(shell):
    done = zoo(f"set -o pipefail; {shell}")
    assert done.returncode == 0
    assert done.stderr == ""


def test_error_is_an_error_also_where_nobody_hears_it():
    assert zoo("zoo nonsense 2>&-").returncode == 2
    assert zoo("set -o pipefail; zoo nonsense 2>&1 | true").returncode == 2


def test_full_disk_under_the_output_is_told_once():
    done = zoo("zoo list > /dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith("error: The disk is full")
    assert done.stderr.count("\n") == 1


def test_work_is_done_though_nobody_reads_what_it_says(tmp_path):
    code = f"""
import sys
from zoo.commands import cli
def work(_):
    for _ in range(100_000):
        sys.stdout.write("said\\n")
        sys.stderr.write("said\\n")
    open({str(tmp_path / "done")!r}, "w").write("done")
raise SystemExit(cli.run(work, []))
"""
    read, write = os.pipe()
    os.close(read)
    assert subprocess.run([sys.executable, "-c", code], stdout=write, stderr=write).returncode == 0
    os.close(write)
    assert (tmp_path / "done").read_text() == "done"
