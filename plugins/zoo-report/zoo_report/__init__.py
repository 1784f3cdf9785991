"""Runs side by side on one page, to look at and listen to: `zoo report`.

>>> from zoo_report import make_report
>>> make_report(["runs/gru-S-flute", "runs/tcn-S-flute"], out="report").path  # doctest: +SKIP
PosixPath('report/index.html')
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo_report.page import ReportResult as ReportResult
    from zoo_report.page import make_report as make_report

__all__ = ["ReportResult", "make_report"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name is
    # imported when it is used, so that `zoo report --help` answers at once
    if name in __all__:
        from zoo_report import page

        return getattr(page, name)
    raise AttributeError(f"module 'zoo_report' has no attribute {name!r}")
