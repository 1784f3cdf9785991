"""The page: what it holds, and writing it.

Requirements it meets:

- one file, which asks no network for anything: its policy (Content-Security-Policy) allows nothing but what is inside,
  and no script but its own, by its hash;
- all text of runs is escaped: a name may be anything;
- the same runs give the same bytes;
- it is never larger than was allowed.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from zoo.checks import plain, refuse, writable_fault
from zoo.errors import CheckpointError, ConfigError
from zoo.storage import attributions, authors_of, hold, is_empty, write_atomically
from zoo_report import tables
from zoo_report.curves import loss_charts
from zoo_report.phrases import choose, read_phrases
from zoo_report.players import PhraseView, view_phrase
from zoo_report.runs import Run, find_runs
from zoo_report.sounds import FLOOR_DB, colour_scale, data_uri

PAGE = "index.html"

PHRASES = 3
MEGABYTES = 50.0

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class ReportResult:
    """A page that was made.

    Attributes:
        path: The file.
        megabytes: Its size.
        runs: How many runs it shows.
        phrases: How many phrases.
        sounds: How many sounds.
        notes: What is missing.
    """

    path: Path
    megabytes: float
    runs: int
    phrases: int
    sounds: int
    notes: Sequence[str]


def make_report(
    references: Sequence[str],
    *,
    out: str | Path,
    phrases: int = PHRASES,
    force: bool = False,
    max_megabytes: float = MEGABYTES,
) -> ReportResult:
    """Write a page that shows runs side by side, to look at and listen to.

    Nothing is computed anew: it shows what the runs hold.

    Example:
        >>> make_report(["runs/gru-S-flute", "runs/tcn-S-flute"], out="report").path  # doctest: +SKIP
        PosixPath('report/index.html')

    Args:
        references: Runs as all commands take them (folders, names, Hub ids), and folders of runs, such as `zoo compare`
            makes them.
        out: The folder for `index.html`.
        phrases: How many held-out phrases to show at most.
        force: Write into a folder that is not empty; a page that is there is replaced, all else stays.
        max_megabytes: How large the page may be.

    Raises:
        ModelNotFoundError: A reference means nothing here.
        CheckpointError: A folder is no run, a run is damaged, or none of them holds samples.
        InUseError: Another process writes a report into the same folder.
        ConfigError: The folder is not empty, the page would be too large, or there is nothing to show.
    """
    out = Path(out).expanduser()
    _check(references, out, phrases, max_megabytes)
    with hold(out, doing="writing a report", advice="take another --out"):
        if not force and not is_empty(out):
            raise ConfigError(
                f"{out} is not empty, and nothing in it is overwritten. Take another --out, or say --force: that "
                f"writes {PAGE} there and leaves all else."
            )
        return _make(references, out, phrases, max_megabytes)


def _make(references: Sequence[str], out: Path, phrases: int, max_megabytes: float) -> ReportResult:
    runs, comparisons = find_runs(references)
    found, problems = read_phrases(runs)
    if not found:
        raise CheckpointError(
            f"There is nothing to hear: no samples/ in {', '.join(run.where for run in runs)}"
            f"{''.join(f' ({problem})' for problem in problems)}. A training leaves them when it comes to its "
            "end; one that was stopped goes on with zoo distill --resume --out RUN"
        )
    views = [view_phrase(phrase, runs, place=place) for place, phrase in enumerate(choose(found, count=phrases))]
    html = _render(
        runs=runs,
        facts=[tables.facts(run) for run in runs],
        missing=[run.missing() for run in runs],
        data=tables.data_names(runs),
        measures=tables.measures(runs),
        seed_tables=[tables.seed_table(comparison) for comparison in comparisons],
        charts=loss_charts(runs),
        phrases=views,
        left_out=len(found) - len(views),
        problems=problems,
        attributions=authors_of(sorted({line for run in runs for line in attributions(run.known.config)})),
        colours=data_uri(colour_scale(), "image/png"),
        floor=FLOOR_DB,
        blind=_blind(views, runs),
    )
    content = html.encode(errors="replace")  # a folder's name need not be text
    megabytes = len(content) / 1e6
    if megabytes > max_megabytes:
        raise ConfigError(
            f"The page would have {megabytes:.1f} MB, and {max_megabytes:g} are allowed. Show fewer runs, or fewer "
            f"phrases (--phrases {max(1, len(views) - 1)}), or allow more: --max-mb {int(megabytes) + 1}"
        )
    write_atomically(out / PAGE, content)
    notes = [f"{run.label}: {text}" for run in runs for text in run.missing()] + problems
    return ReportResult(out / PAGE, megabytes, len(runs), len(views), sum(len(view.players) for view in views), notes)


def _check(references: Sequence[str], out: Path, phrases: int, max_megabytes: float) -> None:
    if not references:
        raise ConfigError("Say which runs to show: zoo report runs/a runs/b --out report")
    if phrases < 1 or not max_megabytes > 0:  # also where it is no number
        raise ConfigError(f"--phrases must be at least 1 and --max-mb over 0; found {phrases} and {max_megabytes:g}.")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; --out names a folder to write {PAGE} into.")
    refuse([writable_fault(out, "--out")])


def _blind(views: Sequence[PhraseView], runs: Sequence[Run]) -> dict[str, object]:
    """What the page's script needs to know: which sounds of a phrase can be compared, and what they are of."""
    usable = [phrase for phrase in views if phrase.reference is not None and len(phrase.candidates) > 1]
    models = list(dict.fromkeys((player.role, player.title) for phrase in usable for player in phrase.candidates))
    sounds = hashlib.sha256("".join(player.audio for phrase in views for player in phrase.players).encode())
    return {
        # answers are kept for these very sounds
        "key": f"zoo-report-{sounds.hexdigest()[:16]}",
        "models": [plain(title) for _, title in models],
        "phrases": [
            {
                "title": phrase.title,
                "recording": phrase.reference.key if phrase.reference else "",
                "sounds": [
                    {"key": player.key, "model": models.index((player.role, player.title))}
                    for player in phrase.candidates
                ],
            }
            for phrase in usable
        ],
    }


def _render(**shown: object) -> str:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    # our own files, which may stand as they are; all else is escaped
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return environment.get_template("page.html").render(
        **shown,
        style=Markup(style),
        script=Markup(script),
        style_hash=_source_hash(style),
        script_hash=_source_hash(script),
    )


def _shown(value: object) -> object:
    """What a page shows of a value: text without marks that reorder or hide it; markup of ours as it is."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _source_hash(text: str) -> str:
    """What a Content-Security-Policy calls an element's content by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
