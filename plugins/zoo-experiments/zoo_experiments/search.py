"""A search through settings by Optuna: each trial a run, chosen by what those before reached."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import ConfigError, PluginError
from zoo_experiments.sweep import Axis

SEED = 0
"""Of the first trial's sampler: the same search chooses the same values, wherever it was stopped."""


class Search:
    """Values of settings, a few at a time.

    All of it is kept in a file of Optuna's journal, so the same search goes on where it was stopped; the trials that
    were running then come first.

    Args:
        journal: That file; its folder is there.
        axes: The settings.
        trials: How many combinations.
        objective: A column of results.csv, to be small.

    Raises:
        ConfigError: There is nothing to search; or the file has the trials of another search.
        PluginError: Optuna is not installed.
    """

    def __init__(self, journal: Path, axes: Sequence[Axis], *, trials: int, objective: str) -> None:
        if not axes:
            raise ConfigError('A search needs settings to choose: --sweep "LEARNING_RATE=1e-4..1e-2 log"')
        try:
            import optuna
            from optuna.storages import JournalStorage
            from optuna.storages.journal import JournalFileBackend
        except ImportError as error:
            raise PluginError(
                f"A search needs Optuna ({error}). Type: pip install ddsp-zoo-experiments[search]"
            ) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        journal.parent.mkdir(parents=True, exist_ok=True)
        self._names = {axis.name for axis in axes}
        self._trials = trials
        self._objective = objective
        self._states = optuna.trial.TrialState
        self._sampler = optuna.samplers.TPESampler
        self._distributions: dict[str, Any] = {
            axis.name: optuna.distributions.CategoricalDistribution(axis.values)
            if axis.values
            else optuna.distributions.FloatDistribution(axis.low, axis.high, log=axis.log)
            for axis in axes
        }
        self._study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(journal))),
            study_name="search",
            load_if_exists=True,
        )
        self._check_same(journal)

    def _check_same(self, journal: Path) -> None:
        """What trials so far have reached says nothing about other settings, other values or another objective."""
        begun = self._study.user_attrs.get("objective", self._objective)
        self._study.set_user_attr("objective", begun)
        own = _kinds(self._distributions)
        if begun == self._objective and all(
            _kinds(trial.distributions) == own for trial in self._study.get_trials(deepcopy=False)
        ):
            return
        raise ConfigError(
            f"{journal} has the trials of another search, for a small {begun}. Give --sweep and --objective as before "
            "(a range alone may be wider or narrower), or take another --out."
        )

    def next(self, count: int) -> dict[int, dict[str, str]]:
        """Values for the next trials, as `--set` takes them, by the trial's number; none when all are done.

        Args:
            count: How many trials at most.
        """
        chosen = {trial.number: trial.params for trial in self._study.get_trials(states=(self._states.RUNNING,))}
        while len(chosen) < count and len(self._study.trials) < self._trials:
            # one for each trial: a single one would begin anew where a search goes on, and choose the same values again
            self._study.sampler = self._sampler(seed=SEED + len(self._study.trials))
            trial = self._study.ask(self._distributions)
            chosen[trial.number] = trial.params
        return {number: _typed(params) for number, params in sorted(chosen.items()) if params.keys() == self._names}

    def ended(self) -> dict[int, dict[str, str]]:
        """The trials that are done or have failed, as `next` gives them."""
        states = (self._states.COMPLETE, self._states.FAIL)
        return {trial.number: _typed(trial.params) for trial in self._study.get_trials(states=states)}

    def tell(self, number: int, reached: Mapping[str, object]) -> None:
        """Say what a trial reached.

        Args:
            number: Of the trial.
            reached: Its row of results.csv; empty where it failed.

        Raises:
            ConfigError: The row has no such column.
        """
        if not reached:
            self._study.tell(number, state=self._states.FAIL)
            return
        value = reached.get(self._objective)
        if not isinstance(value, int | float) or not math.isfinite(value):
            columns = ", ".join(name for name, one in reached.items() if isinstance(one, int | float))
            raise ConfigError(f"results.csv has no number {self._objective!r} to make small. It has: {columns}.")
        self._study.tell(number, float(value))


def _kinds(distributions: Mapping[str, Any]) -> dict[str, tuple[bool, object]]:
    return {name: (getattr(one, "log", False), getattr(one, "choices", None)) for name, one in distributions.items()}


def _typed(params: Mapping[str, object]) -> dict[str, str]:
    return {name: f"{value:.6g}" if isinstance(value, float) else str(value) for name, value in params.items()}
