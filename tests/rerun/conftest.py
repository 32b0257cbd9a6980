"""The runs of `tests/runs` are retried, too."""

from tests.runs.conftest import make_out, make_run

__all__ = ["make_out", "make_run"]
