"""Where a run lives, and what is recorded there of it: a folder, an object store, a database."""

from hurtle.outputs.record import Identity, Resume, resume_mode

__all__ = ["Identity", "Resume", "resume_mode"]
