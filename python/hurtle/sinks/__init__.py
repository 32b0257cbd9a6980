"""Where results go: JSON lines and Parquet. One file for each format; a sink never knows HTTP."""

from hurtle.sinks.base import Identity, Resume, Sink
from hurtle.sinks.choose import FORMATS, new_sink

__all__ = ["FORMATS", "Identity", "Resume", "Sink", "new_sink"]
