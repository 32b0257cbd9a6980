"""The runs that are read back are the runs that are retried."""

from tests.runs.conftest import make_out, make_run

__all__ = ["make_out", "make_run"]
