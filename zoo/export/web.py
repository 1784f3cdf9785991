"""A page that plays: instruments, the player library as WebAssembly and hand-written JavaScript, in a folder.

Requirements it meets:

- the folder works from any static host: no build step, no request to another host, no special headers;
- what a browser plays was played here before, by the same C code, against the model;
- what the page says of a model is what its card says.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import zoo_player
from zoo_player.build import BuildError, web_library

from zoo.cards.metadata import read_metadata
from zoo.cards.safe_yaml import read_card
from zoo.cards.writing import notes_of
from zoo.errors import ConfigError, ExportError, PluginError
from zoo.export.base import Runtime, export
from zoo.export.player import PlayerExporter
from zoo.models.model import Model
from zoo.resolve import find
from zoo.storage.config import ModelConfig, read_config
from zoo.storage.files import new_folder
from zoo.storage.lineage import attributions, authors_of, teachers_of
from zoo.storage.results import SYSTEMS, Results, read_metrics, rows_of
from zoo.storage.run_files import CARD

INDEX = "instruments.json"
_INSTRUMENTS = "instruments"


class WebExporter(PlayerExporter):
    """A folder with a page that plays the model in a browser; `zoo web` makes one of several models, with their cards.

    Example:
        >>> zoo.export("gru-S-violin", "web", "site")  # doctest: +SKIP

    Args:
        weights: What matrices are stored as: "float16" (the default: half the download), "float32" or "int8".

    Raises:
        ConfigError: There is no such type.
    """

    suffixes = ()
    folder = True

    def __init__(self, *, weights: str = "float16") -> None:
        super().__init__(weights=weights)

    def write(self, model: Model, path: Path) -> None:
        """See `Exporter.write`."""
        data = self.contents(model)
        card = card_of(model.config, licence=self.about.get("licence"))
        (path / _INSTRUMENTS).mkdir()
        (path / _INSTRUMENTS / f"{model.name}.zoo").write_bytes(data)
        _write_page(path, [card])

    def load(self, path: Path) -> Runtime:
        """See `Exporter.load`."""
        file = next((path / _INSTRUMENTS).glob("*.zoo"))
        _try_live(file)
        return zoo_player.Instrument(file)


def write_site(references: Sequence[str | Path], folder: str | Path, *, weights: str = "float16") -> Path:
    """Write a page that plays several models.

    Args:
        references: What `zoo.load` takes, in the order in which the page shows them.
        folder: Made, or replaced where it is such a page already.
        weights: See `WebExporter`.

    Returns:
        The folder.

    Raises:
        ConfigError: The folder holds something else, or two models have one name.
        ExportError: A model cannot be played by the player library, or not live.
        ModelNotFoundError: There is no such model.
        PluginError: The player library for browsers is missing.
    """
    folder = Path(folder).expanduser()
    if folder.exists() and not (folder / INDEX).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{str(folder)!r} is there already and is no page of zoo: give another name.")
    with new_folder(folder) as temporary:
        cards: dict[str, dict[str, Any]] = {}
        for reference in references:
            found = find(reference)
            config = read_config(found.folder)
            if config.name in cards:
                raise ConfigError(f"Two of these models are called {config.name}: a page takes each name once.")
            file = export(reference, "player", temporary / _INSTRUMENTS / f"{config.name}.zoo", weights=weights)
            _try_live(file)
            text = read_card(found.folder / CARD) if (found.folder / CARD).is_file() else ""
            licence = read_metadata(text, where=CARD).get("license") if text else None
            metrics = read_metrics(found.folder / "metrics.json")
            cards[config.name] = card_of(config, metrics=metrics, notes=notes_of(text), licence=licence)
        _write_page(temporary, list(cards.values()))
    return folder


def _try_live(file: Path) -> None:
    """Refuse an instrument that the page would refuse: it plays live, which not every model can be."""
    try:
        zoo_player.Live(file.read_bytes())
    except zoo_player.PlayerError as error:
        raise ExportError(f"{file.stem} cannot be played live: {error}") from error


def card_of(
    config: ModelConfig, *, metrics: Results | None = None, notes: str = "", licence: str | None = None
) -> dict[str, Any]:
    """What the page says of a model, as JSON can hold it. It is text, never markup.

    Args:
        config: The model's.
        metrics: See `zoo.storage.results`.
        notes: What a person wrote in its card.
        licence: Its identifier on the Hub.
    """
    dataset = config.lineage.get("dataset", {})
    card = {
        "name": config.name,
        "title": config.instrument.replace("_", " ") if config.instrument else config.name,
        "kind": config.architecture or config.decoder.name,
        "file": f"{_INSTRUMENTS}/{config.name}.zoo",
        "text": (
            f"A {config.decoder.name.upper()} network turns pitch and loudness, {config.sample_rate / config.hop:g} "
            f"times a second, into the controls of a synthesizer ({config.synth.name.replace('_', ' ')}) at "
            f"{config.sample_rate / 1000:g} kHz."
        ),
        "note": " ".join(notes.split()),
        "range": f"{config.range.in_words()} (98 % of its training data)" if config.range else None,
        "teachers": [str(teacher.get("name") or teacher.get("id")) for teacher in teachers_of(config)],
        "licence": licence,
        "dataset": dataset.get("name") if isinstance(dataset, Mapping) else None,
        "authors": authors_of(attributions(config)),
        "measures": rows_of(metrics or {}, labels={**SYSTEMS, "student": "this model"}) if metrics else [],
    }
    return {name: value for name, value in card.items() if value}


def _write_page(folder: Path, cards: Sequence[dict[str, Any]]) -> None:
    """Put the page beside its instruments."""
    try:
        library = web_library()
    except BuildError as error:
        raise PluginError(f"The page needs the player library for browsers: {error}") from error
    with as_file(files("zoo.export") / "web_files") as page:
        for file in sorted(page.iterdir()):
            if file.is_file():
                shutil.copyfile(file, folder / file.name)
    shutil.copyfile(library, folder / library.name)
    described = []
    for card in cards:
        file = folder / str(card["file"])
        about = zoo_player.describe(file)
        kilobytes = math.ceil(file.stat().st_size / 1000)
        described.append({**card, "size": f"{about.weights:,} numbers, {kilobytes:,} kB"})
    index = {"zoo": version("ddsp-zoo"), "instruments": described}
    (folder / INDEX).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
