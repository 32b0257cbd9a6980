"""The rows to read back come from the runs of `tests/runs`."""

from tests.runs.conftest import make_run

__all__ = ["make_run"]
