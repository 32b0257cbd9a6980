"""Rows to read back are those of the runs that are read back."""

from tests.runs.conftest import make_run

__all__ = ["make_run"]
