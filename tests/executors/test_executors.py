"""What runs lists of tasks, by its name."""

import pytest

import zoo
from zoo import registry
from zoo.__main__ import main
from zoo.executors.local import local


def test_tasks_are_done_and_told_one_by_one():
    done = []
    places = local(lambda name, number: done.append((name, number)), [("a", 1), ("b", 2)])
    assert next(places) == 0
    assert done == [("a", 1)]
    assert list(places) == [1]


def test_error_of_a_task_is_the_callers():
    def fail(number):
        raise ValueError(f"task {number}")

    with pytest.raises(ValueError, match="task 7"):
        list(local(fail, [(7,)]))


def test_prepare_runs_on_the_executor_that_is_named(tmp_path, capsys):
    asked = []

    @zoo.register.executor("backwards")
    def backwards(function, tasks, *, jobs):
        asked.append((len(tasks), jobs))
        for place in reversed(range(len(tasks))):
            function(*tasks[place])
            yield place

    command = ["prepare", "--dataset", "tones", str(tmp_path / "tones"), "--pitch", "yin"]
    command += ["--set", "prepare.dataset_options={'phrases': 4, 'seconds': 1.0}", "--min-seconds", "0.2"]
    try:
        assert main([*command, "--executor", "backwards", "--jobs", "3"]) == 0
    finally:
        registry.executors.unregister("backwards")
    assert asked == [(4, 3)]
    assert "4 recordings" in capsys.readouterr().out
    assert main([*command, "--executor", "backwards", "--force"]) == 2
    assert "no executor named 'backwards'" in capsys.readouterr().err
