"""Where a run is stored, and what is recorded about it there: a folder, an object store, a database."""

from hurtle.outputs.record import Identity, Resume, resume_mode

__all__ = ["Identity", "Resume", "resume_mode"]
