"""A run's exports: what each exporter makes of it, for its card and for the Hub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from zoo import registry, resolve
from zoo.errors import ConfigError, ExportError, PluginError, listing
from zoo.export.base import REPORT, export
from zoo.storage.config import read_config
from zoo.storage.exports import write_exports
from zoo.storage.files import file_hash
from zoo.storage.run_files import EXPORTS_FOLDER, is_export

ALL = "all"


def names_of(text: str) -> list[str]:
    """Exporters out of "onnx,player"; all of them out of "all".

    Raises:
        PluginError: There is no such exporter.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == [ALL]:
        return registry.exporters.names()
    for name in names:
        registry.exporters.entry(name)
    if not names:
        raise ConfigError(f"Name exporters, with commas between them: {', '.join(registry.exporters)}; or {ALL}.")
    return list(dict.fromkeys(names))


def export_run(
    model: str | Path,
    exporters: Sequence[str],
    out: str | Path,
    *,
    files: bool = True,
    leave_out: Callable[[str, Exception], object] | None = None,
) -> Path:
    """Export a model by each of some exporters, and write what they report into one `export.json`.

    Example:
        >>> folder = export_run("runs/flute", ["onnx", "player"], "exported")  # doctest: +SKIP
        >>> zoo.push("runs/flute", "me/gru-S-flute", exports=folder)  # doctest: +SKIP

    Args:
        model: A run's folder, or a name.
        exporters: Their names.
        out: A folder, with `export.json` and the files in `exports/` afterwards.
        files: Keep the files; otherwise what they reported is enough.
        leave_out: Called with an exporter and the reason where it cannot be used for this model, or here; by default
            that is an error.

    Returns:
        The folder.

    Raises:
        ExportError: A file does not play what the model plays, or a component has no such form.
        ConfigError: An exporter's files are of a kind that is not published.
    """
    source = resolve.find(model).folder
    name = read_config(source).name
    kinds = {exporter: registry.exporters.get(exporter) for exporter in exporters}
    for exporter, kind in kinds.items():
        if files and (kind.folder or not is_export(f"{EXPORTS_FOLDER}/{name}{kind.suffixes[0]}")):
            raise ConfigError(
                f"The exporter {exporter!r} makes {'a folder' if kind.folder else listing(kind.suffixes)}, and files "
                "that end in .zoo, .onnx or .ts can be published. Leave it out."
            )
    reports: dict[str, dict[str, Any]] = {}
    with TemporaryDirectory(prefix="zoo-export-") as place:
        for exporter, kind in kinds.items():
            # each in a place of its own: several make a folder, of the model's name
            path = Path(place) / exporter / f"{name}{'' if kind.folder else kind.suffixes[0]}"
            path.parent.mkdir()
            try:
                export(source, exporter, path)
            except (ExportError, PluginError) as reason:
                if leave_out is None:
                    raise
                leave_out(exporter, reason)
                continue
            report = json.loads(path.with_name(path.name + REPORT).read_text())
            if files:
                made = [path, *(path.with_name(companion) for companion in report["companions"])]
                (Path(out) / EXPORTS_FOLDER).mkdir(parents=True, exist_ok=True)
                for file in made:
                    shutil.copyfile(file, Path(out) / EXPORTS_FOLDER / file.name)
                report["files"] = {f"{EXPORTS_FOLDER}/{file.name}": file_hash(file) for file in made}
            reports[exporter] = report
    write_exports(Path(out), source, reports)
    return Path(out)
