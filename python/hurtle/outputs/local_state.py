"""What this machine keeps for a run whose output is elsewhere: its ledger, and parts to be uploaded."""

from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from socket import gethostname
from uuid import uuid4

from hurtle.errors import ConfigError, MissingExtraError
from hurtle.outputs.answers import ANSWERS
from hurtle.outputs.record import Record

LEDGER = "ledger"
KEPT_BY = "kept_by"
"""The key of a run's record that names its `LocalState`, and the machine that has it."""


class LocalState:
    """A separate folder for each run, under the user's state directory: XDG_STATE_HOME on Linux.

    Its random name is in the run's record. If the folder exists, its ledger is complete. If it does not, on
    another machine or after it was removed, what was sent is unknown.

    Args:
        name: The name of the folder.
        extra: The optional package that the output needs.
    """

    def __init__(self, name: str, extra: str) -> None:
        self._name = name
        self.folder = _runs_folder(extra) / name

    @classmethod
    def begin(cls, extra: str) -> "LocalState":
        """Create a new folder.

        Raises:
            ConfigError: The folder cannot be created.
        """
        state = cls(uuid4().hex, extra)
        try:
            state.folder.mkdir(parents=True)
        except OSError as error:
            raise ConfigError(
                f"{state.folder.parent} cannot be written ({error.strerror or error}), but hurtle records"
                " there what was sent: set XDG_STATE_HOME to another folder"
            ) from error
        return state

    @classmethod
    def of(cls, record: Record, extra: str) -> "LocalState | None":
        """Return the state of a run; None: it is not on this machine."""
        kept_by = record.get(KEPT_BY)
        name = kept_by.get("name") if isinstance(kept_by, dict) else None
        if not isinstance(name, str) or not name.isalnum():
            return None
        state = cls(name, extra)
        return state if state.folder.is_dir() else None

    @property
    def entry(self) -> Record:
        """What to put into the run's record."""
        return {KEPT_BY: {"name": self._name, "host": gethostname()}}

    @property
    def ledger(self) -> Path:
        """The record of requests that must not be sent twice; it does not exist before the first one."""
        return self.folder / LEDGER

    @property
    def answers(self) -> Path:
        """The log of answers to such requests, until their part is committed."""
        return self.folder / ANSWERS

    def sweep(self) -> None:
        """Remove parts that a crash left before they were uploaded. Never raises."""
        for path in self.folder.iterdir():
            if path.name not in (LEDGER, ANSWERS):
                with suppress(OSError):
                    path.unlink()

    def drop(self) -> None:
        """Forget the run: it is complete, or dropped. Never raises. Idempotent."""
        rmtree(self.folder, ignore_errors=True)


def elsewhere(record: Record) -> str:
    """Say where the state of a run is, if another machine has it."""
    kept_by = record.get(KEPT_BY)
    host = str(kept_by.get("host")) if isinstance(kept_by, dict) else "unknown"
    return f"only on {host!r}, another machine: resume there"


def _runs_folder(extra: str) -> Path:
    try:
        from platformdirs import user_state_path
    except ImportError as error:
        raise MissingExtraError(extra, "this output") from error
    return user_state_path("hurtle", appauthor=False) / "runs"
