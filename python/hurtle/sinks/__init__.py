"""What takes the rows of a run, whatever its output is; a sink never knows HTTP."""

from hurtle.sinks.base import Sink
from hurtle.sinks.choose import new_sink

__all__ = ["Sink", "new_sink"]
