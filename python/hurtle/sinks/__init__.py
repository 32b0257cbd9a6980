"""Where results go: JSON lines and Parquet. One file for each format; a sink never knows HTTP."""

from hurtle.sinks.base import Sink
from hurtle.sinks.choose import FORMATS, new_sink

__all__ = ["FORMATS", "Sink", "new_sink"]
