"""Where results go. One file for each format; a sink never knows HTTP."""

from hurtle.sinks.base import Identity, Resume, Sink, resume_mode
from hurtle.sinks.choose import BODY_PLACES, FORMATS, BodyPlace, new_sink

__all__ = ["BODY_PLACES", "FORMATS", "BodyPlace", "Identity", "Resume", "Sink", "new_sink", "resume_mode"]
