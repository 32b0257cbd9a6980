"""A server for each fault of docs/faults.md, and the test that hurtle survives all of them."""

from hurtle.chaos.case import Case
from hurtle.chaos.selftest import Score, run_cases
from hurtle.chaos.server import ChaosServer

__all__ = ["Case", "ChaosServer", "Score", "run_cases"]
