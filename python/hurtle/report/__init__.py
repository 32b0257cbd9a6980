"""The results of a run: the numbers, apart from how they are shown."""

from hurtle.report.results import Gathered, Results
from hurtle.report.summary import Summary

__all__ = ["Gathered", "Results", "Summary"]
