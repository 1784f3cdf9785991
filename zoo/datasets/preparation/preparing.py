"""From recordings to a prepared dataset: analyse each once, divide them into splits, write shards and dataset.json.

Requirements: it can be stopped at any time and goes on where it was, with the same bytes as a result; an older
dataset of the same name stays whole until the new one is complete; what is left out is told, with the reason.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.checks.path_names import check_path_name
from zoo.datasets.index import INDEX_NAME, WORK_NAME, parse_index
from zoo.datasets.preparation.analysis import Preparation, try_tracker, work_name
from zoo.datasets.preparation.assembling import DatasetPlan, assemble, json_text, made_from
from zoo.datasets.preparation.outcome import Outcome, definitions, outcome_of
from zoo.datasets.preparation.work import analyse_all
from zoo.datasets.recordings import Recording, known_f0
from zoo.datasets.tones import tones
from zoo.errors import DatasetError
from zoo.executors.base import ExecutorConfig
from zoo.features.frontend import FeatureSettings
from zoo.storage.config import check_instrument
from zoo.storage.files import new_folder
from zoo.storage.locks import hold, locked

_LOST = "its analysis is lost"  # what an older zoo said of it, and left out

ProgressCallback = Callable[[int, int, str], None]


def prepare_dataset(
    recordings: Iterable[Recording],
    out: str | Path,
    preparation: Preparation | None = None,
    *,
    dataset: str = "folder",
    name: str | None = None,
    execution: ExecutorConfig | None = None,
    force: bool = False,
    starting: Callable[[Sequence[Recording]], None] | None = None,
    progress: ProgressCallback | None = None,
) -> list[Outcome]:
    """Prepare recordings for training.

    Args:
        recordings: Of a dataset component.
        out: The folder to make; recordings with a `subset` go to a folder of that name in it.
        preparation: The settings.
        dataset: The component's name, to be stored.
        name: What to call the dataset; its folder's name where None.
        execution: What analyses them, how many at a time; one after the other in this process where None.
        force: Replace a dataset that was made with other settings or recordings.
        starting: Called before analysis with the recordings that are yet to be analysed, if there are any.
        progress: Called after each recording with how many are done, how many there are, and its id.

    Returns:
        One outcome for each dataset made.

    Raises:
        DatasetError: There are no recordings, nothing usable is in them, or `out` holds something else.
        ConfigError: The settings do not fit each other.
        InUseError: Another process prepares into the same folder.
        PluginError: What the tracker needs is not installed.
        OSError: The result cannot be written.
    """
    out = Path(out)
    execution = execution or ExecutorConfig()
    execution.check()
    registry.executors.entry(execution.executor)
    preparation = (preparation or Preparation()).resolved()
    definitions(preparation)  # a wrong name or option of the loudness shows here, not after the first recording
    plans = [_plan(out / subset, group, preparation, dataset) for subset, group in _by_subset(recordings).items()]
    if out.exists() and not out.is_dir():
        raise DatasetError(f"{out} is a file. Give the name of a folder to make.")
    if any("\ud800" <= letter <= "\udfff" for letter in str(out.resolve())):
        raise DatasetError(f"{out} cannot be made: its path is no text in UTF-8. Give another folder to make.")
    outcomes = {plan.path: _already_there(plan, force) for plan in plans}
    if all(outcomes.values()):
        return [outcome for outcome in outcomes.values() if outcome is not None]
    with ExitStack() as stack:
        for folder in dict.fromkeys((out, *(plan.path for plan in plans))):
            stack.enter_context(hold(folder, doing=f"preparing {folder}", advice="give another folder to make"))
        # another process may have made it since
        outcomes = {plan.path: _already_there(plan, force) for plan in plans}
        if missing := [plan for plan in plans if outcomes[plan.path] is None]:
            outcomes |= _make(missing, out / WORK_NAME, preparation, name, execution, starting, progress)
    return [outcome for outcome in outcomes.values() if outcome is not None]


def _make(
    missing: Sequence[DatasetPlan],
    work: Path,
    preparation: Preparation,
    name: str | None,
    execution: ExecutorConfig,
    starting: Callable[[Sequence[Recording]], None] | None,
    progress: ProgressCallback | None,
) -> dict[Path, Outcome]:
    if known_f0(missing[0].recordings[0], preparation.sample_rate, preparation.hop) is None:
        try_tracker(preparation)
    work.mkdir(parents=True, exist_ok=True)
    todo = {
        work / work_name(digest, preparation): recording
        for plan in missing
        for recording, digest in zip(plan.recordings, plan.digests, strict=True)
    }
    analyse_all(todo, preparation, execution=execution, starting=starting, progress=progress)
    try:
        outcomes = {plan.path: assemble(plan, preparation, work, name) for plan in missing}
    except DatasetError:
        shutil.rmtree(work)
        raise
    shutil.rmtree(work)
    return outcomes


def prepare_tones(path: Path) -> None:
    """Make the embedded dataset `tones`, whole or not at all.

    Args:
        path: The folder to make.
    """
    with locked(path / "making"):  # who waited finds it made
        if not (path / INDEX_NAME).is_file():
            _prepare_tones(path)


def _prepare_tones(path: Path) -> None:
    with new_folder(path) as folder:
        prepare_dataset(tones(), folder, tones_preparation(), dataset="tones", name="tones")


def tones_preparation() -> Preparation:
    """Give the settings of the embedded dataset `tones`: those that its shipped teacher was trained with."""
    features = FeatureSettings(tracker_options={"model": "tiny"}, normalize="peak", loudness="mean_db")
    return Preparation(features=features)


def _by_subset(recordings: Iterable[Recording]) -> dict[str, list[Recording]]:
    found: dict[str, list[Recording]] = {}
    for recording in sorted(recordings, key=lambda r: r.id):
        if recording.subset:
            check_path_name(recording.subset, f"{recording.id}: the dataset", error=DatasetError)
        if recording.instrument is not None:
            check_instrument(recording.instrument, f"{recording.id}: the instrument")
        found.setdefault(recording.subset, []).append(recording)
    if not found:
        raise DatasetError("There are no recordings to prepare.")
    return dict(sorted(found.items()))


def _plan(path: Path, recordings: list[Recording], preparation: Preparation, dataset: str) -> DatasetPlan:
    digests = [_digest(recording, preparation.sample_rate) for recording in recordings]
    request = {
        "dataset": dataset,
        **preparation.to_dict(),
        "recordings": {
            recording.id: [digest, recording.instrument, recording.group, recording.attribution]
            for recording, digest in zip(recordings, digests, strict=True)
        },
    }
    return DatasetPlan(path, recordings, digests, request)


def _digest(recording: Recording, sample_rate: int) -> str:
    try:
        return recording.digest(sample_rate)
    except Exception:  # noqa: BLE001 - a plugin's raises whatever its libraries do; its analysis will say why
        return f"unreadable {recording.id}"


def _already_there(plan: DatasetPlan, force: bool) -> Outcome | None:
    index = plan.path / INDEX_NAME
    if not index.is_file():
        return None
    if force:
        return None
    info = parse_index(index.read_bytes(), index)
    if any(skipped.get("reason") == _LOST for skipped in info.get("skipped", [])):
        return None
    request = json.loads(json_text(plan.request))
    was = info.get("request", {})
    sources = {source.get("id"): source for source in info.get("sources", [])}
    reattributed = {r.id for r in plan.recordings if r.id in sources and _made_by_others(r, sources[r.id])}
    if request == was and not reattributed:
        return outcome_of(plan.path, info, fresh=False)
    asked, stands = _flat(request), _flat(was)
    reasons = [
        f"{key} is {stands.get(key)} there and {asked.get(key)} here"
        for key in sorted(asked | stands)
        if asked.get(key) != stands.get(key)
    ]
    found, stored = request["recordings"], was.get("recordings", {})
    changed = {key for key in found.keys() & stored.keys() if found[key] != stored[key]} | reattributed
    for names, what in (
        (found.keys() - stored.keys(), "new"),
        (stored.keys() - found.keys(), "gone"),
        (changed, "changed"),
    ):
        if names:
            reasons.append(f"recordings that are {what}: {len(names)} ({min(names)}{', ...' * (len(names) > 1)})")
    raise DatasetError(
        f"{plan.path} is already prepared, otherwise than asked: {'; '.join(reasons)}. "
        "Give another folder, or --force to replace it."
    )


def _made_by_others(recording: Recording, source: dict[str, Any]) -> bool:
    # An index says otherwise now who made what a recording was joined from; the request has no word of these.
    return bool(json.loads(json_text(made_from(recording))).get("made_from") != source.get("made_from"))


def _flat(request: dict[str, Any]) -> dict[str, Any]:
    features = {f"features.{key}": value for key, value in request.get("features", {}).items()}
    return {key: value for key, value in request.items() if key not in ("features", "recordings")} | features
