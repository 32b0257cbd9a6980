"""A run read back: its committed rows, the newest one of each request; and the retry of some of them."""

from hurtle.runs.again import RetrySink
from hurtle.runs.opened import open_referred, open_run, record_at
from hurtle.runs.retried import open_retry
from hurtle.runs.run import Run
from hurtle.runs.where import Where

__all__ = ["RetrySink", "Run", "Where", "open_referred", "open_retry", "open_run", "record_at"]
