"""Picked rows of a run that has ended, requested again: newer rows replace the old ones."""

from hurtle.rerun.rerun import Rerun, recorded_options, retry

__all__ = ["Rerun", "recorded_options", "retry"]
