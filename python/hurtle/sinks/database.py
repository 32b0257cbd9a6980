"""A run in a database: rows and progress in the same transaction, so the rows themselves say what is done."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

from hurtle.client import Rows
from hurtle.errors import ConfigError, JournalError, SinkError
from hurtle.journal import Done
from hurtle.sinks.base import Identity, Resume, Sink
from hurtle.sinks.held import stops_held
from hurtle.sinks.parts import UNREPEATABLE_SECONDS
from hurtle.sinks.recorded import (
    ENDED,
    RETRY,
    OtherVersionError,
    Record,
    gone_on_with,
    is_under_way,
    record_of,
    refuse_another,
)
from hurtle.sinks.table import COLUMNS, REFRESH_COLUMNS, REQUIRED, Kind, columns_of

RESULTS, RUN = "results", "run"
"""The tables: one row for each request; one row that says what the run is."""

RECORD = "record"
"""The column of the table `run`."""

WANTED = "hurtle_retry"
"""A third table while a retry is under way: the positions that it has not asked for again yet."""

WANTED_ROWS = 50_000
"""So many of them are written at a time."""

FETCH_ROWS, FETCH_BODIES = 10_000, 100
"""So many rows are held at a time while they are read: without bodies, and with them."""

COMMIT_BYTES = 64 << 20
"""A transaction ends at so many bytes of rows, however few they are."""


class Database(ABC):
    """Keeps the tables `results` and `run`. What it raises of its `error` is translated by `DatabaseSink`.

    Not for several threads at once, but for one after the other.

    Attributes:
        name: What callers call it.
        shown: What to call this one in messages and hints; without secrets.
        columns: The columns of `results`, in order; those of the run once it has begun.
        commit_rows: A transaction ends at so many rows,
        commit_seconds: or after so long: what a crash makes the next run repeat.
        ledger: Where to note requests that must not be sent twice; None until it is known where that is.
        ledger_elsewhere: Where the ledger of the run is that was read, if not here: words for a message.
        numbers: SQL that gives the numbers of a JSON array, which is its one parameter, "?".
    """

    name: str
    numbers: str
    shown: str
    columns: Mapping[str, Kind] = COLUMNS
    commit_rows: int = 1_000
    commit_seconds: float = 1.0
    ledger: Path | None = None
    ledger_elsewhere: str | None = None

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

    def lacks_ledger(self, record: Record) -> bool:
        """Whether a crash came before the ledger of a new run had begun."""
        del record
        return False

    @abstractmethod
    def begin_ledger(self) -> Record:
        """Make sure that there is a place for a ledger; return what the run's record has to say of it.

        Raises:
            ConfigError, OSError: There is none.
        """

    @abstractmethod
    def drop_ledger(self) -> None:
        """Forget what is noted: each of its requests has its row. Idempotent.

        Raises:
            OSError: It could not be removed.
        """

    @abstractmethod
    def begin_run(self, record: Record) -> Record:
        """Drop what a run left, its ledger included, and begin a new one with a ledger of its own.

        Returns:
            The record, as it was recorded.
        """

    @abstractmethod
    def make_tables(self, record: Record) -> None:
        """Drop the tables that a run left, make them anew and record the run, all in one transaction."""

    @abstractmethod
    def open_to_read(self) -> None:
        """Connect to read what is committed, beside whoever writes; nobody is kept out.

        Raises:
            ConfigError: It is not there, or nobody may read it now.
        """

    @abstractmethod
    def ask(self, query: str, rows: int = FETCH_ROWS) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query.

        Args:
            query: A SELECT.
            rows: About how many to hold at a time.
        """

    @abstractmethod
    def change(self, statement: str, *parameters: str) -> None:
        """Execute a statement in the open transaction; open one where there is none.

        Args:
            statement: SQL that all databases know, with "?" for parameters.
            parameters: Texts.
        """

    def done(self) -> Done:
        """Return the positions whose rows are there."""
        done = Done()
        for index, ok in self.ask(f'SELECT "index", ok FROM {RESULTS}'):
            done.add(index, failed=not ok)
        return done

    def select(self, columns: Mapping[str, Kind]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows: values of some columns. JSON is text, an instant is text or has a zone."""
        listed = ", ".join(map(self._selected, columns, columns.values()))
        rows = FETCH_BODIES if "bytes" in columns.values() else FETCH_ROWS
        return self.ask(f"SELECT {listed} FROM {RESULTS}", rows)

    def _selected(self, name: str, kind: Kind) -> str:
        """Return SQL that gives a column."""
        del kind
        return f'"{name}"'

    def count(self) -> int:
        """Return how many rows there are."""
        ((rows,),) = self.ask(f"SELECT count(*) FROM {RESULTS}")
        return int(rows)

    @abstractmethod
    def names(self) -> list[str]:
        """Return the columns of `results`, in order."""

    def write_record(self, record: Record) -> None:
        """Replace the record of the run, in the open transaction."""
        self.change(f"UPDATE {RUN} SET record = ?", json.dumps(record, sort_keys=True))

    def want(self, indexes: Sequence[int]) -> None:
        """Note positions to be asked for again, in the place of others, in the open transaction."""
        self.forget_wanted()
        self.change(f'CREATE TABLE {WANTED} ("index" BIGINT PRIMARY KEY)')
        for first in range(0, len(indexes), WANTED_ROWS):
            piece = json.dumps(list(indexes[first : first + WANTED_ROWS]))
            self.change(f"INSERT INTO {WANTED} {self.numbers}", piece)

    def wanted(self) -> Iterator[int]:
        """Yield the positions that are to be asked for again."""
        return (index for (index,) in self.ask(f'SELECT "index" FROM {WANTED}'))

    def unwant(self, indexes: Iterable[int]) -> None:
        """Take positions out of those to be asked for again, in the open transaction."""
        self.change(f'DELETE FROM {WANTED} WHERE "index" IN ({self.numbers})', json.dumps(list(indexes)))

    def forget_wanted(self) -> None:
        """Drop the list of positions to be asked for again, if there is one, in the open transaction."""
        self.change(f"DROP TABLE IF EXISTS {WANTED}")

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


def foreign_table(columns: Iterable[tuple[str, str]], *, others: bool) -> str | None:
    """Return a table of somebody else, who has no run there; None: there is none.

    Args:
        columns: Table and column of every column that is there.
        others: Whether tables of other names may stand where no run is.
    """
    tables: dict[str, list[str]] = {}
    for table, column in columns:
        tables.setdefault(table, []).append(column)
    if RUN in tables and RECORD not in tables[RUN]:
        return RUN
    if RESULTS in tables and (RUN not in tables or not {*tables[RESULTS], *REFRESH_COLUMNS} >= REQUIRED):
        return RESULTS
    return None if others or RUN in tables else min(tables, default=None)


class DatabaseSink(Sink):
    """Inserts rows, and commits them in bundles.

    Args:
        database: Where to; not open yet.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._begun = False
        self._record: Record = {}
        self._rows = 0
        self._bytes = 0
        self._due = 0.0

    @property
    def ledger_path(self) -> Path | None:
        """Beside the database's file; of one on a server, in this machine's state of the run."""
        return self._database.ledger

    @property
    def ledger_elsewhere(self) -> str | None:
        """As the run's record says."""
        return self._database.ledger_elsewhere

    def take_ledger(self) -> None:
        """Begin a ledger here, and change the run's record."""
        with stops_held(), self._failing_as(SinkError, "could not be written"):
            self._change_record(self._database.begin_ledger())

    def _change_record(self, changed: Record) -> None:
        self._record = self._record | changed
        self._database.write_record(self._record)
        self._database.commit()

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
        self._database.columns = columns_of(now)
        try:
            before = self._database.read_run()
        except OtherVersionError:
            if resume != "restart":
                raise
            before = None
        except json.JSONDecodeError as error:
            raise JournalError(f"{self._database.shown} is damaged: {error}") from error
        if before is None or resume == "restart":
            self._record = self._database.begin_run(now)
            return Done()
        refuse_another(before, now, resume, self._database.shown)
        self._record = before
        done, is_retried = self._database.done(), RETRY in before
        changed = gone_on_with(before, now, done, resume, self._database.shown, is_retried=is_retried)
        if changed.get(ENDED) is False or self._database.lacks_ledger(before):
            changed |= self._database.begin_ledger()
        if changed:
            self._change_record(changed)
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
                    self._insert(rows)
            except BaseException:
                self._forget()
                raise
            self._rows += len(rows)
            self._bytes += rows.nbytes
            if self._rows >= self._database.commit_rows or self._bytes >= COMMIT_BYTES:
                self._commit()
        self.tick()

    def _insert(self, rows: Rows) -> None:
        self._database.insert(rows)

    def tick(self) -> None:
        """End the transaction when it has become old."""
        if self._rows and monotonic() >= self._due:
            with stops_held():
                self._commit()

    def _commit(self, *, at_the_end: bool = False) -> None:
        if not (self._rows or at_the_end):
            return
        try:
            with self._failing_as(SinkError, "could not be written"):
                if at_the_end:
                    self._record_end()
                self._database.commit()
        except BaseException:
            self._forget()
            raise
        self._rows, self._bytes = 0, 0

    def _record_end(self) -> None:
        """Record in the last transaction that every row is there."""
        self._record = self._record | {ENDED: True}
        self._database.write_record(self._record)

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
            self._commit(at_the_end=True)
            with suppress(OSError, self._database.error):
                self._database.complete()
            if not is_under_way(self._record):
                with suppress(OSError):
                    self._database.drop_ledger()
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

    def abort(self) -> str | None:
        """Drop the open transaction and disconnect."""
        if not self._begun:
            return None
        with stops_held():
            self._forget()
            self._end()
        return self._database.shown

    def _end(self) -> None:
        self._begun = False
        with suppress(OSError, self._database.error):
            self._database.close()

    @contextmanager
    def _failing_as(self, kind: type[ConfigError | SinkError], words: str) -> Iterator[None]:
        try:
            yield
        except (OSError, self._database.error) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            message = f"{self._database.shown} {words}: {reason or self._database.words(error)}"
            raise kind(message) from error
