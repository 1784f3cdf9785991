"""Models in other forms: what is written is played, and compared with the model, before it is kept.

The package can be called: `zoo.export(model, "player", "gru-S-violin.zoo")`; see `zoo.export.base.export`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.export.base import Exporter as Exporter
    from zoo.export.base import Runtime as Runtime
    from zoo.export.run_exports import export_run as export_run
    from zoo.models.model import Model

__all__ = ["Exporter", "Runtime", "export_run"]


class _Export(ModuleType):
    """This package: as `zoo.export` it is a function, too, and importing what lies in it does not change that."""

    def __call__(
        self,
        model_or_ref: Model | str | Path,
        exporter: str,
        path: str | Path,
        **options: Any,  # noqa: ANN401 - the exporter's
    ) -> Path:
        """See `zoo.export.base.export`."""
        from zoo.export.base import export

        return export(model_or_ref, exporter, path, **options)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the name is
        if name in __all__:
            from zoo.export import base, run_exports

            return getattr(run_exports if name == "export_run" else base, name)
        raise AttributeError(f"module 'zoo.export' has no attribute {name!r}")


sys.modules[__name__].__class__ = _Export
