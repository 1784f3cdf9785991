"""What runs lists of tasks, by its name."""

import time

import pytest

import zoo
from zoo import registry
from zoo.__main__ import main
from zoo.errors import ConfigError, WorkerLostError
from zoo.executors import Call, Ended, Executor, ExecutorConfig, Running, State, run_tasks


def calls(tmp_path, function, *arguments):
    return [Call(str(one), tmp_path / str(one), function, (one,)) for one in arguments]


def test_tasks_are_done_and_told_one_by_one(tmp_path):
    done = []
    with ExecutorConfig().open() as local:
        ended = run_tasks(calls(tmp_path, done.append, "a", "b"), local)
        assert next(ended).task.name == "a"
        assert done == ["a"]
        assert [status.task.name for status in ended] == ["b"]


def test_error_of_a_task_is_kept_and_others_go_on(tmp_path):
    with ExecutorConfig(jobs=2).open() as local:
        bad, good = sorted(
            run_tasks(calls(tmp_path, int, "x", "7"), local), key=lambda status: status.state is State.DONE
        )
    assert isinstance(bad.error, ValueError)
    assert good.state is State.DONE


def test_machine_that_is_lost_costs_no_try(tmp_path):
    class Flaky(Executor):
        lost = 3

        def start(self, task):
            Flaky.lost -= 1
            return Outcome(Ended("the machine is gone", lost=True) if Flaky.lost >= 0 else Ended())

        def stop(self, running, *, patience=None):
            pass

        def wait(self, running, seconds):
            pass

    class Outcome(Running):
        def __init__(self, ended):
            self.ended = ended

        def poll(self):
            return self.ended

    (status,) = run_tasks(calls(tmp_path, print, "x"), Flaky(ExecutorConfig()), retries=0)
    assert (status.state, status.tries, status.lost) == (State.DONE, 4, 3)


def test_worker_that_dies_is_an_error_and_not_a_wait_for_ever(tmp_path):
    import os

    with ExecutorConfig(jobs=2).open() as local:
        (status,) = run_tasks(calls(tmp_path, os._exit, 3), local)
    assert isinstance(status.error, WorkerLostError)


def test_tasks_that_run_are_stopped_when_nobody_waits_for_them(tmp_path):
    began = time.monotonic()
    with ExecutorConfig(jobs=2).open() as local:
        tasks = [*calls(tmp_path, time.sleep, 60), *calls(tmp_path, int, "0")]
        next(ended := run_tasks(tasks, local))
        ended.close()
    assert time.monotonic() - began < 30


def test_settings_for_a_cluster_are_refused_here():
    with pytest.raises(ConfigError, match="--executor ray"):
        ExecutorConfig(address="auto").open()


def test_prepare_runs_on_the_executor_that_is_named(tmp_path, capsys):
    started = []

    @zoo.register.executor("noted")
    class Noted(registry.executors.get("local")):
        def start(self, task):
            started.append((task.name, self.config.cpus_per_task))
            return super().start(task)

    command = ["prepare", "--dataset", "tones", str(tmp_path / "tones"), "--pitch", "yin"]
    command += ["--set", "prepare.dataset_options={'phrases': 4, 'seconds': 1.0}", "--min-seconds", "0.2"]
    try:
        assert main([*command, "--executor", "noted", "--cpus-per-task", "3"]) == 0
    finally:
        registry.executors.unregister("noted")
    assert len(set(started)) == 4
    assert {cpus for _, cpus in started} == {3}
    assert "4 recordings" in capsys.readouterr().out
    assert main([*command, "--executor", "noted", "--force"]) == 2
    assert "no executor named 'noted'" in capsys.readouterr().err
