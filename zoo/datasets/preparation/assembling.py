"""Dividing what the analyses kept into splits, and writing it: shards, then dataset.json, the last of all."""

from __future__ import annotations

import dataclasses
import errno
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from zoo.datasets.index import FORMAT, INDEX_NAME, VERSION, parse_index
from zoo.datasets.preparation.analysis import TENSORS, Analysis, Preparation, read_analysis, work_name
from zoo.datasets.preparation.cutting import Span
from zoo.datasets.preparation.outcome import Outcome, Skipped, definitions, notes_of, outcome_of
from zoo.datasets.preparation.picture import describe_splits
from zoo.datasets.preparation.splits import SPLITS, Assignment, assign
from zoo.datasets.recordings import Recording
from zoo.datasets.segments import ShardWriter
from zoo.errors import DatasetError
from zoo.storage.files import write_atomically

# A shard is closed after this many frames: 256 MB of audio at a hop of 64.
_FRAMES_PER_SHARD = 1 << 20


@dataclass(frozen=True)
class DatasetPlan:
    """One dataset to make: its folder, its recordings with their digests, and its request for comparison."""

    path: Path
    recordings: list[Recording]
    digests: list[str]
    request: dict[str, Any]


def assemble(plan: DatasetPlan, preparation: Preparation, work: Path, name: str | None) -> Outcome:
    """Write a dataset of its recordings' analyses.

    Args:
        plan: The dataset.
        preparation: The settings.
        work: Folder with the analyses.
        name: What to call it; its folder's name where None.

    Raises:
        DatasetError: Nothing of the recordings is left, or they do not go together.
        OSError: An analysis is gone, or the dataset cannot be written.
    """
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
    writers, inputs = _write_shards(plan, preparation, files, analyses, division)
    info = _describe(plan, preparation, analyses, division, writers, inputs)
    info["name"] = name or plan.path.resolve().name
    index = plan.path / INDEX_NAME
    old = set(_known_shards(index))
    write_atomically(index, json_text(info))
    for shard in old - info["shards"].keys():
        (plan.path / shard).unlink(missing_ok=True)
    return outcome_of(plan.path, info, fresh=True)


def _kept(file: Path) -> Analysis:
    analysis = read_analysis(file)
    if analysis is None:
        raise OSError(errno.ENOENT, "this analysis of a recording was there a moment ago: run it again", str(file))
    return analysis


def _without_copies(plan: DatasetPlan, analyses: list[Analysis]) -> list[Analysis]:
    # The same sound under two names, be it in two formats, would be trained on and tested with.
    first: dict[str, str] = {}
    result = []
    for recording, analysis in zip(plan.recordings, analyses, strict=True):
        if analysis.parts and (original := first.setdefault(analysis.content, recording.id)) != recording.id:
            copy = Span(0, sum(part.frames for part in analysis.parts), f"the same as {original}")
            analysis = dataclasses.replace(analysis, parts=[], dropped=[copy])
        result.append(analysis)
    return result


def _write_shards(
    plan: DatasetPlan, preparation: Preparation, files: list[Path], analyses: list[Analysis], division: Assignment
) -> tuple[dict[str, ShardWriter], list[str]]:
    hop = preparation.hop
    writers = {name: ShardWriter(plan.path, name, frames_per_shard=_FRAMES_PER_SHARD) for name in SPLITS}
    index = 0
    names: list[str] = []
    for name in SPLITS:
        last, tensors = -1, {}
        for recording, k in sorted(division.splits[name]):
            if recording != last:
                last, tensors = recording, load_file(files[recording])
                own = sorted(tensors.keys() - TENSORS)
                if index and own != names:
                    raise DatasetError(
                        f"{plan.recordings[recording].id} has the inputs {own}, and other recordings {names}: "
                        "known_inputs must give the same names for all recordings of a dataset."
                    )
                names = own
            parts = analyses[recording].parts
            offset, part = sum(p.frames for p in parts[:k]), parts[k]
            entry = {
                "index": index,
                "source": plan.recordings[recording].id,
                "start": part.start * hop,
                "valid_frames": part.frames,
                "periodicity": part.periodicity,
            }
            sizes = {key: hop if key == "audio" else 1 for key in tensors}
            writers[name].add(
                entry,
                {key: tensors[key][offset * size : (offset + part.frames) * size] for key, size in sizes.items()},
            )
            index += 1
        writers[name].close()
    return writers, names


def _describe(
    plan: DatasetPlan,
    preparation: Preparation,
    analyses: list[Analysis],
    division: Assignment,
    writers: dict[str, ShardWriter],
    inputs: list[str],
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
        "instrument": next(iter(instruments)) if len(instruments) == 1 else None,
        "sample_rate": preparation.sample_rate,
        "hop": hop,
        "segment_frames": frames,
        "features": preparation.features.to_dict(),
        # other datasets keep their bytes
        **({"inputs": inputs} if inputs else {}),
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
                **made_from(plan.recordings[k]),
            }
            for k in used
        ],
        "skipped": [dataclasses.asdict(s) for s in _skipped(plan, analyses, division, preparation)],
        "notes": [
            *(f"No music as it was played: {how}." for how in made),
            *_mixed(instruments),
            *_told(plan, analyses),
            *division.notes,
        ],
        "request": plan.request,
    }


def _mixed(instruments: set[str | None]) -> list[str]:
    names = sorted(filter(None, instruments))
    if len(names) < 2:
        return []
    return [
        f"{', '.join(names[:-1])} and {names[-1]} are in it, and a model would mix them. Prepare each one's recordings "
        "by themselves for a model of each."
    ]


def _told(plan: DatasetPlan, analyses: list[Analysis]) -> list[str]:
    used = [(r, a) for r, a in zip(plan.recordings, analyses, strict=True) if a.parts]  # why another is not is told
    return notes_of((recording.id, note) for recording, analysis in used for note in analysis.notes)


def made_from(recording: Recording) -> dict[str, Any]:
    """What dataset.json says of a recording that was made from others; empty, so that others keep their bytes."""
    if not recording.made:
        return {}
    origins = [{"id": origin.id, "attribution": origin.attribution} for origin in recording.origins()]
    return {"made": recording.made, "made_from": origins}


def _skipped(
    plan: DatasetPlan, analyses: list[Analysis], division: Assignment | None, preparation: Preparation
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


def json_text(values: dict[str, Any]) -> str:
    """As dataset.json is written."""
    text = json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode() + "\n"  # names that are not UTF-8, wherever they stand
