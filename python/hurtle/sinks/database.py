"""A run in a database: rows and progress in the same transaction, so the rows themselves say what is done."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

from hurtle.client import Rows
from hurtle.errors import ConfigError, SinkError
from hurtle.journal import Done
from hurtle.sinks.base import Identity, Resume, Sink
from hurtle.sinks.held import stops_held
from hurtle.sinks.parts import UNREPEATABLE_SECONDS
from hurtle.sinks.recorded import Record, record_of, refuse_another

RESULTS, RUN = "results", "run"
"""The tables: one row for each request; one row that says what the run is."""

COMMIT_BYTES = 64 << 20
"""A transaction ends at so many bytes of rows, however few they are."""


class Database(ABC):
    """Keeps the tables `results` and `run`. What it raises of its `error` is translated by `DatabaseSink`.

    Not for several threads at once, but for one after the other.

    Attributes:
        name: What callers call it.
        shown: What to call this one in messages and hints; without secrets.
        commit_rows: A transaction ends at so many rows,
        commit_seconds: or after so long: what a crash makes the next run repeat.
        ledger: Where to note requests that must not be sent twice; None where there is no folder for it.
    """

    name: str
    shown: str
    commit_rows: int = 1_000
    commit_seconds: float = 1.0
    ledger: Path | None = None

    @property
    @abstractmethod
    def error(self) -> type[Exception]:
        """What its driver raises."""

    def words(self, error: Exception) -> str:
        """Return an error's words for a person; without secrets."""
        return str(error)

    def require(self) -> None:
        """Find out whether it can be used here.

        Raises:
            MissingExtraError: It needs an optional package.
        """
        return

    @abstractmethod
    def open(self) -> None:
        """Connect, and keep other runs out until `close`.

        Raises:
            ConfigError: Another run uses it, or something else is there.
        """

    @abstractmethod
    def read_run(self) -> Record | None:
        """Return the record of the run; None where there is no run.

        Raises:
            ConfigError: The tables are there, and are not of hurtle.
        """

    @abstractmethod
    def begin_run(self, record: Record) -> None:
        """Drop the tables that a run left, make them anew and record the run, all in one transaction."""

    @abstractmethod
    def done(self) -> Iterator[int]:
        """Yield the positions whose rows are there."""

    @abstractmethod
    def insert(self, rows: Rows) -> None:
        """Add rows to the open transaction; open one where there is none."""

    @abstractmethod
    def commit(self) -> None:
        """End the transaction: its rows survive whatever happens."""

    @abstractmethod
    def rollback(self) -> None:
        """Drop the open transaction, if there is one."""

    def complete(self) -> None:
        """Make the tables easy to read for others, once all rows are in. Nothing depends on it."""
        return

    @abstractmethod
    def close(self) -> None:
        """Disconnect and let other runs in. Idempotent, also where `open` failed."""


class DatabaseSink(Sink):
    """Inserts rows, and commits them in bundles.

    Args:
        database: Where to; not open yet.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._begun = False
        self._rows = 0
        self._bytes = 0
        self._due = 0.0

    @property
    def ledger_path(self) -> Path | None:
        """Beside the database's file."""
        return self._database.ledger

    def begin(self, identity: Identity, resume: Resume) -> Done:
        """Make the tables, or go on with the run that they hold."""
        self._database.require()
        try:
            with stops_held(), self._failing_as(ConfigError, "cannot be used"):
                self._database.open()
                done = self._begin(record_of(identity, self._database.name), resume)
        except BaseException:
            self._database.close()
            raise
        self._begun = True
        return done

    def _begin(self, now: Record, resume: Resume) -> Done:
        before = self._database.read_run()
        if before is None or resume == "restart":
            self._database.begin_run(now)
            self._drop_ledger()
            return Done()
        refuse_another(before, now, resume, self._database.shown)
        done = Done()
        for index in self._database.done():
            done.add(index)
        return done

    def write(self, rows: Rows) -> None:
        """Insert rows; end the transaction when it is full or old."""
        if not self._begun:
            raise ValueError("the run has not begun")
        with stops_held():
            if not self._rows:
                self._due = monotonic() + self._database.commit_seconds
            if rows.unrepeatable:
                self._due = min(self._due, monotonic() + UNREPEATABLE_SECONDS)
            try:
                with self._failing_as(SinkError, "could not be written"):
                    self._database.insert(rows)
            except BaseException:
                self._forget()
                raise
            self._rows += len(rows)
            self._bytes += rows.nbytes
            if self._rows >= self._database.commit_rows or self._bytes >= COMMIT_BYTES:
                self._commit()
        self.tick()

    def tick(self) -> None:
        """End the transaction when it has become old."""
        if self._rows and monotonic() >= self._due:
            with stops_held():
                self._commit()

    def _commit(self) -> None:
        if not self._rows:
            return
        try:
            with self._failing_as(SinkError, "could not be written"):
                self._database.commit()
        except BaseException:
            self._forget()
            raise
        self._rows, self._bytes = 0, 0

    def _forget(self) -> None:
        """Drop the open transaction: of a bundle that failed nothing stays."""
        self._rows, self._bytes = 0, 0
        with suppress(OSError, self._database.error):
            self._database.rollback()

    def close(self) -> None:
        """Commit the last rows and disconnect."""
        if not self._begun:
            return
        with stops_held():
            self._commit()
            with suppress(OSError, self._database.error):
                self._database.complete()
            with suppress(OSError):
                self._drop_ledger()
            self._end()

    def leave(self) -> str | None:
        """Commit what has come and disconnect."""
        if not self._begun:
            return None
        with stops_held():
            try:
                self._commit()
            finally:
                self._end()
        return self._database.shown

    def abort(self) -> None:
        """Drop the open transaction and disconnect."""
        if self._begun:
            with stops_held():
                self._forget()
                self._end()

    def _drop_ledger(self) -> None:
        """Forget what the ledger notes: each of its requests has its row, or is of a run that was dropped."""
        if self._database.ledger is not None:
            self._database.ledger.unlink(missing_ok=True)

    def _end(self) -> None:
        self._begun = False
        with suppress(OSError, self._database.error):
            self._database.close()

    @contextmanager
    def _failing_as(self, kind: type[ConfigError | SinkError], words: str) -> Iterator[None]:
        try:
            yield
        except (OSError, self._database.error) as error:
            message = f"{self._database.shown} {words}: {self._database.words(error)}"
            raise kind(message) from error
