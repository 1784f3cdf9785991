"""From recordings to a prepared dataset: analyse each once, divide them into splits, write shards and dataset.json.

Requirements: it can be stopped at any time and goes on where it was, with the same bytes as a result; an older
dataset of the same name stays whole until the new one is complete; what is left out is told, with the reason.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from zoo import registry
from zoo.checks.path_names import check_path_name
from zoo.datasets.preparation.analysis import TENSORS, Analysis, Preparation, read_analysis, try_tracker, work_name
from zoo.datasets.preparation.cutting import Span
from zoo.datasets.preparation.outcome import Outcome, Skipped, definitions, notes_of, outcome_of
from zoo.datasets.preparation.picture import describe_splits
from zoo.datasets.preparation.splits import SPLITS, Assignment, assign
from zoo.datasets.preparation.work import analyse_all
from zoo.datasets.recordings import Recording
from zoo.datasets.segments import FORMAT, INDEX_NAME, VERSION, WORK_NAME, ShardWriter, parse_index
from zoo.datasets.tones import tones
from zoo.errors import ConfigError, DatasetError
from zoo.features.frontend import FeatureSettings
from zoo.storage.config import check_instrument
from zoo.storage.files import new_folder, write_atomically
from zoo.storage.locks import hold, locked

# A shard is closed after this many frames: 256 MB of audio at a hop of 64.
_FRAMES_PER_SHARD = 1 << 20

_LOST = "its analysis is lost"  # what an older zoo said of it, and left out

ProgressCallback = Callable[[int, int, str], None]


@dataclass(frozen=True)
class _DatasetPlan:
    """One dataset to make: its folder, its recordings with their digests, and its request for comparison."""

    path: Path
    recordings: list[Recording]
    digests: list[str]
    request: dict[str, Any]


def prepare_dataset(
    recordings: Iterable[Recording],
    out: str | Path,
    preparation: Preparation | None = None,
    *,
    dataset: str = "folder",
    name: str | None = None,
    jobs: int = 1,
    executor: str = "local",
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
        jobs: How many recordings are analysed at a time.
        executor: What runs that, by its name.
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
    if jobs < 1:
        raise ConfigError(f"--jobs must be 1 or more, not {jobs}.")
    registry.executors.entry(executor)
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
            outcomes |= _make(missing, out / WORK_NAME, preparation, name, jobs, executor, starting, progress)
    return [outcome for outcome in outcomes.values() if outcome is not None]


def _make(
    missing: Sequence[_DatasetPlan],
    work: Path,
    preparation: Preparation,
    name: str | None,
    jobs: int,
    executor: str,
    starting: Callable[[Sequence[Recording]], None] | None,
    progress: ProgressCallback | None,
) -> dict[Path, Outcome]:
    if missing[0].recordings[0].known_f0(preparation.sample_rate, preparation.hop) is None:
        try_tracker(preparation)
    work.mkdir(parents=True, exist_ok=True)
    todo = {
        work / work_name(digest, preparation): recording
        for plan in missing
        for recording, digest in zip(plan.recordings, plan.digests, strict=True)
    }
    analyse_all(todo, preparation, jobs=jobs, executor=executor, starting=starting, progress=progress)
    try:
        outcomes = {plan.path: _assemble(plan, preparation, work, name) for plan in missing}
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


def _plan(path: Path, recordings: list[Recording], preparation: Preparation, dataset: str) -> _DatasetPlan:
    digests = [_digest(recording, preparation.sample_rate) for recording in recordings]
    request = {
        "dataset": dataset,
        **preparation.to_dict(),
        "recordings": {
            recording.id: [digest, recording.instrument, recording.group, recording.attribution]
            for recording, digest in zip(recordings, digests, strict=True)
        },
    }
    return _DatasetPlan(path, recordings, digests, request)


def _digest(recording: Recording, sample_rate: int) -> str:
    try:
        return recording.digest(sample_rate)
    except (DatasetError, OSError):  # its analysis will say why
        return f"unreadable {recording.id}"


def _already_there(plan: _DatasetPlan, force: bool) -> Outcome | None:
    index = plan.path / INDEX_NAME
    if not index.is_file():
        return None
    if force:
        return None
    info = parse_index(index.read_bytes(), index)
    if any(skipped.get("reason") == _LOST for skipped in info.get("skipped", [])):
        return None
    request = json.loads(_json(plan.request))
    was = info.get("request", {})
    if request == was:
        return outcome_of(plan.path, info, fresh=False)
    asked, stands = _flat(request), _flat(was)
    reasons = [
        f"{key} is {stands.get(key)} there and {asked.get(key)} here"
        for key in sorted(asked | stands)
        if asked.get(key) != stands.get(key)
    ]
    found, stored = request["recordings"], was.get("recordings", {})
    changed = {key for key in found.keys() & stored.keys() if found[key] != stored[key]}
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


def _flat(request: dict[str, Any]) -> dict[str, Any]:
    features = {f"features.{key}": value for key, value in request.get("features", {}).items()}
    return {key: value for key, value in request.items() if key not in ("features", "recordings")} | features


def _assemble(plan: _DatasetPlan, preparation: Preparation, work: Path, name: str | None) -> Outcome:
    files = [work / work_name(digest, preparation) for digest in plan.digests]
    analyses = _without_copies(plan, [_kept(file) for file in files])
    parts = [[Span(part.start, part.frames) for part in analysis.parts] for analysis in analyses]
    if not any(parts):
        reasons = "\n".join(
            f"  {s.source}: {s.reason} ({s.seconds:.2f} s)" for s in _skipped(plan, analyses, None, preparation)
        )
        raise DatasetError(
            f"Nothing is left of {len(plan.recordings)} recordings:\n{reasons}\n"
            "Use other recordings, or lower --min-seconds or --min-confidence, or raise --silence-db."
        )
    if preparation.whole:
        division = Assignment()
        division.splits["test"] = [(recording, 0) for recording, own in enumerate(parts) if own]
    else:
        groups = [recording.group or recording.id for recording in plan.recordings]
        division = assign(parts, groups, seed=preparation.split_seed, guard_frames=preparation.segment_frames)
    writers = _write_shards(plan, preparation, files, analyses, division)
    info = _describe(plan, preparation, analyses, division, writers)
    info["name"] = name or plan.path.resolve().name
    index = plan.path / INDEX_NAME
    old = set(_known_shards(index))
    write_atomically(index, _json(info))
    for shard in old - info["shards"].keys():
        (plan.path / shard).unlink(missing_ok=True)
    return outcome_of(plan.path, info, fresh=True)


def _kept(file: Path) -> Analysis:
    analysis = read_analysis(file)
    if analysis is None:
        raise OSError(errno.ENOENT, "this analysis of a recording was there a moment ago: run it again", str(file))
    return analysis


def _without_copies(plan: _DatasetPlan, analyses: list[Analysis]) -> list[Analysis]:
    # The same file under two names would be trained on and tested with.
    first: dict[str, str] = {}
    result = []
    for recording, digest, analysis in zip(plan.recordings, plan.digests, analyses, strict=True):
        original = first.setdefault(digest, recording.id)
        if original != recording.id and analysis.parts:
            copy = Span(0, sum(part.frames for part in analysis.parts), f"the same as {original}")
            analysis = dataclasses.replace(analysis, parts=[], dropped=[copy])
        result.append(analysis)
    return result


def _write_shards(
    plan: _DatasetPlan, preparation: Preparation, files: list[Path], analyses: list[Analysis], division: Assignment
) -> dict[str, ShardWriter]:
    hop = preparation.hop
    writers = {name: ShardWriter(plan.path, name, frames_per_shard=_FRAMES_PER_SHARD) for name in SPLITS}
    index = 0
    for name in SPLITS:
        last, tensors = -1, {}
        for recording, k in sorted(division.splits[name]):
            if recording != last:
                last, tensors = recording, load_file(files[recording])
            parts = analyses[recording].parts
            offset, part = sum(p.frames for p in parts[:k]), parts[k]
            entry = {
                "index": index,
                "source": plan.recordings[recording].id,
                "start": part.start * hop,
                "valid_frames": part.frames,
                "periodicity": part.periodicity,
            }
            sizes = {key: hop if key == "audio" else 1 for key in TENSORS}
            writers[name].add(
                entry,
                {key: tensors[key][offset * size : (offset + part.frames) * size] for key, size in sizes.items()},
            )
            index += 1
        writers[name].close()
    return writers


def _describe(
    plan: _DatasetPlan,
    preparation: Preparation,
    analyses: list[Analysis],
    division: Assignment,
    writers: dict[str, ShardWriter],
) -> dict[str, Any]:
    hop = preparation.hop
    used = [k for k, analysis in enumerate(analyses) if analysis.parts]
    instruments = {plan.recordings[k].instrument for k in used}
    made = sorted({plan.recordings[k].made for k in used} - {""})
    lengths = [part.frames for k in used for part in analyses[k].parts]
    frames = max(lengths) if preparation.whole else preparation.segment_frames
    return {
        "format": FORMAT,
        "version": VERSION,
        "instrument": instruments.pop() if len(instruments) == 1 else None,
        "sample_rate": preparation.sample_rate,
        "hop": hop,
        "segment_frames": frames,
        "features": preparation.features.to_dict(),
        "definitions": definitions(preparation),
        "splits": {name: writers[name].entries for name in SPLITS},
        "statistics": describe_splits(plan.path, {name: writers[name].entries for name in SPLITS}),
        "shards": {name: facts for writer in writers.values() for name, facts in writer.shards.items()},
        "sources": [
            {
                "id": plan.recordings[k].id,
                "sha256": plan.digests[k],
                "seconds": round(analyses[k].seconds, 3),
                "instrument": plan.recordings[k].instrument,
                "group": plan.recordings[k].group or plan.recordings[k].id,
                "attribution": plan.recordings[k].attribution,
                "noise_floor_db": analyses[k].noise.floor_db,
                "snr_db": analyses[k].noise.snr_db,
                "noise_measured_in": analyses[k].noise.measured_in,
                **_made_from(plan.recordings[k]),
            }
            for k in used
        ],
        "skipped": [dataclasses.asdict(s) for s in _skipped(plan, analyses, division, preparation)],
        "notes": [*(f"No music as it was played: {how}." for how in made), *_told(plan, analyses), *division.notes],
        "request": plan.request,
    }


def _told(plan: _DatasetPlan, analyses: list[Analysis]) -> list[str]:
    return notes_of((r.id, note) for r, a in zip(plan.recordings, analyses, strict=True) for note in a.notes)


def _made_from(recording: Recording) -> dict[str, Any]:
    # Only where there is something to say: other datasets keep their bytes.
    if not recording.made:
        return {}
    origins = [{"id": origin.id, "attribution": origin.attribution} for origin in recording.origins()]
    return {"made": recording.made, "made_from": origins}


def _skipped(
    plan: _DatasetPlan, analyses: list[Analysis], division: Assignment | None, preparation: Preparation
) -> list[Skipped]:
    frame = preparation.hop / preparation.sample_rate
    guarded: dict[int, int] = {}
    for at, part in division.guard if division else []:
        guarded[at] = guarded.get(at, 0) + analyses[at].parts[part].frames
    result = []
    for k, (recording, analysis) in enumerate(zip(plan.recordings, analyses, strict=True)):
        total: dict[str, int] = {}
        for span in analysis.dropped:
            total[span.reason] = total.get(span.reason, 0) + span.frames
        if k in guarded:
            total["guard gap between splits"] = guarded[k]
        result += [Skipped(recording.id, round(frames * frame, 3), reason) for reason, frames in total.items()]
    return result


def _known_shards(index: Path) -> list[str]:
    if not index.is_file():
        return []
    try:
        return [name for name in parse_index(index.read_bytes(), index)["shards"] if Path(name).name == name]
    except DatasetError:
        return []


def _json(values: dict[str, Any]) -> str:
    text = json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode() + "\n"  # names that are not UTF-8, wherever they stand
