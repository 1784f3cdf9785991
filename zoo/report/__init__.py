"""Runs side by side on one page, to look at and listen to: `python -m zoo report`."""

from zoo.report.page import Made as Made
from zoo.report.page import make_report as make_report
