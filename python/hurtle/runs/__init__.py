"""Runs read back: their committed rows, the newest one for each request."""

from hurtle.runs.opened import open_referred, open_run, record_at
from hurtle.runs.run import Run
from hurtle.runs.where import Where

__all__ = ["Run", "Where", "open_referred", "open_run", "record_at"]
