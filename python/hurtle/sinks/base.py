"""The interface of sinks: begin or resume a run, take rows, and end."""

from abc import ABC, abstractmethod
from pathlib import Path

from hurtle.outputs import Identity, Resume
from hurtle.positions import Done
from hurtle.rows import Rows

PART_FILE_BYTES = 16 << 20
"""Rows are committed at this many bytes of bodies that the engine has written: fetching them takes time."""


class Sink(ABC):
    """Takes the rows of a run: `begin`, then `write` for each batch, then `close`, `leave` or `abort`.

    What is committed survives whatever happens to the process. Not thread-safe.

    Attributes:
        records_exchanges: Whether it needs what went over the wire for each row.
        keeps_codings: Whether bodies are to keep their content codings.
        hashes_bodies: Whether it needs the SHA-256 of bodies in `body_folder`.
    """

    records_exchanges: bool = False
    keeps_codings: bool = False
    hashes_bodies: bool = True

    @abstractmethod
    def begin(self, identity: Identity, resume: Resume) -> Done:
        """Begin a run, or resume the one that the output holds.

        Returns:
            Positions of the input whose rows are committed already.

        Raises:
            ConfigError: The output cannot be written there, another run uses it, or it holds a run that
                cannot be resumed; the message names the difference.
            MissingExtraError: The format needs an optional package.
        """

    @abstractmethod
    def write(self, rows: Rows) -> None:
        """Take rows.

        Raises:
            SinkError: The disk is full, or the output no longer exists.
            JournalError: Progress could not be recorded.
        """

    @property
    def ledger_path(self) -> Path | None:
        """The ledger: the file that records requests that must not be sent twice.

        It exists as long as the run. None: the output holds no run that can be resumed.
        """
        return None

    @property
    def ledger_elsewhere(self) -> str | None:
        """Where the ledger of an earlier run is, if it cannot be read here, in words for a message.

        None: it is in `ledger_path`, or none is needed. Otherwise `ledger_path` is None.
        """
        return None

    @property
    def body_folder(self) -> Path | None:
        """Where the engine writes large bodies, from `begin` to the end; None: they stay in memory."""
        return None

    def take_ledger(self) -> None:
        """Begin a ledger in `ledger_path`: the caller consents to resend what may have been sent.

        Raises:
            SinkError: The change could not be recorded.
        """
        return

    def tick(self) -> None:
        """Commit rows that have waited long enough. Called now and then, even if no rows arrive.

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
        """Commit what is left of an interrupted run, so that another run can resume it.

        Returns:
            Where the run can be resumed; None: it cannot be resumed.

        Raises:
            SinkError, JournalError: As `write`.
        """

    @abstractmethod
    def abort(self) -> str | None:
        """Drop what is not committed. Never raises. Idempotent.

        Returns:
            As `leave`, the first time.
        """
