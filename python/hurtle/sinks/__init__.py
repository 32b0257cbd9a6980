"""Sinks take the rows of a run and write them to its output. They know nothing about HTTP."""

from hurtle.sinks.base import Sink
from hurtle.sinks.choose import new_sink

__all__ = ["Sink", "new_sink"]
