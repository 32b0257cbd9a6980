"""Picked rows of a run that has ended, asked for again: their newer rows take the place of the old ones."""

from hurtle.rerun.rerun import Rerun, recorded_options, retry

__all__ = ["Rerun", "recorded_options", "retry"]
