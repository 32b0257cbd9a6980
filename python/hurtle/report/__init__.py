"""The results of a run: the numbers, apart from how they are shown."""

from hurtle.report.results import Results, agathered, gathered
from hurtle.report.summary import Summary

__all__ = ["Results", "Summary", "agathered", "gathered"]
