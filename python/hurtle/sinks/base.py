"""What every sink does: begin or go on with a run, take rows, and end."""

from abc import ABC, abstractmethod
from pathlib import Path

from hurtle.outputs import Identity, Resume
from hurtle.positions import Done
from hurtle.rows import Rows

UNREPEATABLE_SECONDS = 1.0
"""Rows of requests that must not be sent again are committed after so long: nobody could find out how those
ended that a crash takes."""


class Sink(ABC):
    """Takes the rows of a run: `begin`, then `write` for each batch, then `close`, `leave` or `abort`.

    What is committed survives whatever happens to the process. Not for several threads at once.

    Attributes:
        records_exchanges: Whether it wants what went over the wire with each row.
    """

    records_exchanges: bool = False

    @abstractmethod
    def begin(self, identity: Identity, resume: Resume) -> Done:
        """Begin a run, or go on with the one that the output holds.

        Returns:
            Positions of the input whose rows are committed already.

        Raises:
            ConfigError: The output cannot be written there, another run uses it, or it holds one that must
                not be gone on with; the difference is named.
            MissingExtraError: The format needs an optional package.
        """

    @abstractmethod
    def write(self, rows: Rows) -> None:
        """Take rows.

        Raises:
            SinkError: The disk is full, or the output is gone.
            JournalError: What is done could not be recorded.
        """

    @property
    def ledger_path(self) -> Path | None:
        """Where to note requests that must not be sent twice, beside what is committed.

        The file lives and dies with the run. None: the output holds no run that can be gone on with.
        """
        return None

    @property
    def ledger_elsewhere(self) -> str | None:
        """Where what an earlier run may have sent is noted, if not where it can be read: words for a message.

        None: it is in `ledger_path`, or there is no need. `ledger_path` is None where this is not.
        """
        return None

    def take_ledger(self) -> None:
        """Note in `ledger_path` from now on: the caller lets be sent again what may have been sent.

        Raises:
            SinkError: That could not be recorded.
        """
        return

    def tick(self) -> None:
        """Commit what has waited long enough. Called now and then, also when no rows come.

        Raises:
            SinkError, JournalError: As `write`.
        """
        return

    @abstractmethod
    def close(self) -> None:
        """Commit what is left and complete the output. Idempotent.

        Raises:
            SinkError, JournalError: As `write`.
        """

    @abstractmethod
    def leave(self) -> str | None:
        """Commit what is left of a run that was interrupted, so that another can go on with it.

        Returns:
            Where the run waits; None where it cannot be gone on with.

        Raises:
            SinkError, JournalError: As `write`.
        """

    @abstractmethod
    def abort(self) -> str | None:
        """Drop what is not committed. Never raises. Idempotent.

        Returns:
            As `leave`, the first time.
        """
