"""Processes that are started, watched and started again; what they run here is not a training but a line of Python."""

import _thread
import signal
import threading
import time

import pytest
from zoo_experiments.progress import run_table
from zoo_experiments.runs import Run, run_all

from zoo.errors import ConfigError
from zoo.executors import ExecutorConfig
from zoo.training.run_folder import mark_done


def run(tmp_path, name, code, *arguments, steps=1):
    return Run(name, tmp_path / name, ("-c", code, *arguments), tmp_path / "logs" / f"{name}.log", steps)


def test_programs_run_and_what_they_say_is_kept(tmp_path):
    runs = [run(tmp_path, name, f"print('this is {name}')") for name in ("a", "b")]
    statuses = run_all(runs, ExecutorConfig(jobs=2))
    assert [status.state for status in statuses] == ["done", "done"]
    assert statuses[1].task.log.read_text() == "this is b\n"


def test_failed_run_is_started_again_and_resumed_where_it_can_be(tmp_path):
    code = (
        "import pathlib, sys; run = pathlib.Path(sys.argv[1]); said = run / 'said'\n"
        "(run / 'checkpoints').mkdir(parents=True, exist_ok=True); (run / 'checkpoints/last.ckpt').touch()\n"
        "said.open('a').write(' '.join(sys.argv[2:]) + ';')\n"
        "sys.exit(1 if said.read_text().count(';') < 3 else 0)"
    )
    (status,) = run_all([run(tmp_path, "a", code, str(tmp_path / "a"))], retries=2)
    assert (status.state, status.tries) == ("done", 3)
    assert (tmp_path / "a" / "said").read_text() == ";--resume;--resume;"


def test_run_that_failed_before_its_first_checkpoint_begins_anew(tmp_path):
    code = "import pathlib, sys; sys.exit(int(pathlib.Path(sys.argv[1]).exists()) or len(sys.argv) - 2)"
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.gin").write_text("")
    (status,) = run_all([run(tmp_path, "a", code, str(tmp_path / "a"))], retries=0)
    assert status.state == "done"


def test_run_that_ends_by_the_signal_that_stops_all_is_no_failure(tmp_path, caplog):
    code = "import os, signal; os.kill(os.getppid(), signal.SIGTERM); os.kill(os.getpid(), signal.SIGTERM)"
    shown = []
    with pytest.raises(KeyboardInterrupt):
        run_all(
            [run(tmp_path, name, code) for name in ("a", "b")],
            show=lambda statuses: shown.append([(status.state.value, status.tries) for status in statuses]),
        )
    assert shown[-1][1] == ("waiting", 0)
    assert "started again" not in caplog.text


def test_users_mistake_is_not_tried_again(tmp_path):
    code = "import sys; sys.stderr.write('error: no such teacher\\n'); sys.exit(2)"
    statuses = run_all([run(tmp_path, "a", code), run(tmp_path, "b", "pass")], retries=5)
    assert [(status.state, status.tries) for status in statuses] == [("failed", 1), ("done", 1)]
    assert statuses[0].reason == "error: no such teacher"
    lines = run_table(statuses).splitlines()
    assert "failed" in lines[1]
    assert "error: no such teacher" in lines[1]
    assert lines[2].split()[:2] == ["b", "done"]


def test_run_that_is_done_is_not_started_unless_more_is_asked(tmp_path):
    mark_done(tmp_path / "a", asked=10, steps=10)
    code = "raise SystemExit('must not run')"
    (status,) = run_all([run(tmp_path, "a", code, steps=10)], retries=0)
    assert (status.state, status.tries) == ("done", 0)
    (status,) = run_all([run(tmp_path, "a", code, steps=20)], retries=0)
    assert status.tries == 1


def test_no_more_run_at_once_than_asked(tmp_path):
    code = (
        "import pathlib, sys, time; here = pathlib.Path(sys.argv[1]); mine = here / sys.argv[2]; mine.touch();"
        "time.sleep(0.3); print(len(list(here.glob('now-*')))); mine.unlink()"
    )
    runs = [run(tmp_path, name, code, str(tmp_path), f"now-{name}") for name in "abcd"]
    statuses = run_all(runs, ExecutorConfig(jobs=2))
    assert max(int(status.task.log.read_text()) for status in statuses) <= 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_what_runs_after_its_step(tmp_path, number):
    code = (
        "import pathlib, signal, sys, time; asked = []\n"
        "signal.signal(signal.SIGTERM, lambda *_: asked.append(1)); pathlib.Path(sys.argv[1]).touch()\n"
        "while not asked: time.sleep(0.01)\n"
        "print('ended well'); sys.exit(130)"
    )

    def interrupt():
        while not (tmp_path / "ready").exists():
            time.sleep(0.05)
        _thread.interrupt_main(number)

    # A process that a shell has put into the background ignores Ctrl-C, and hands that on to what it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_all([run(tmp_path, "a", code, str(tmp_path / "ready"))])
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "logs" / "a.log").read_text() == "ended well\n"


def test_sigterm_does_not_wait_long_for_a_run_that_does_not_end(tmp_path):
    code = (
        "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"
    )
    asked = []

    def interrupt():
        while not (tmp_path / "ready").exists():
            time.sleep(0.05)
        asked.append(time.monotonic())
        _thread.interrupt_main(signal.SIGTERM)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_all([run(tmp_path, "a", code, str(tmp_path / "ready"))])
    assert time.monotonic() - asked[0] < 10


def test_numbers_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="--jobs"):
        run_all([], ExecutorConfig(jobs=0))
