"""A run in a database. Rows and progress share a transaction, so the rows themselves show what is done."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hurtle.errors import JournalError
from hurtle.formats.table import COLUMNS, REFRESH_COLUMNS, REQUIRED, Kind
from hurtle.outputs.record import Record, refuse_other_version
from hurtle.positions import Done
from hurtle.rows import Rows

RESULTS, RUN = "results", "run"
"""The tables: one row for each request; one row with the record of the run."""

RECORD = "record"
"""The column of the table `run`."""

WANTED = "hurtle_retry"
"""A third table while a retry is under way: the positions that it has not resent yet."""

WANTED_ROWS = 50_000
"""Positions to write at a time."""

FETCH_ROWS, FETCH_BODIES = 10_000, 100
"""Rows in memory at a time while reading: without bodies, and with them."""


class Database(ABC):
    """Keeps the tables `results` and `run`. `DatabaseSink` translates the exceptions in `error`.

    Not thread-safe; different threads may use it one after the other.

    Attributes:
        name: Its name, for callers.
        shown: What to call this database in messages and hints; without secrets.
        columns: The columns of `results`, in order; those of the run once it has begun.
        commit_rows: A transaction ends at this many rows,
        commit_seconds: or after this many seconds: the most that the next run repeats after a crash.
        ledger: The file that records requests that must not be sent twice; None while its place is unknown.
        ledger_elsewhere: Where the ledger of the run is, if not here, in words for a message.
        answers: Where to log the answers to such requests until they are committed. None: a transaction is
            cheap enough to commit them soon.
        file: The file that it is; None: it is on a server.
        numbers: SQL that returns the numbers of a JSON array, its one parameter, "?".
    """

    name: str
    numbers: str
    shown: str
    columns: Mapping[str, Kind] = COLUMNS
    commit_rows: int = 1_000
    commit_seconds: float = 1.0
    ledger: Path | None = None
    ledger_elsewhere: str | None = None
    answers: Path | None = None
    file: Path | None = None

    @property
    @abstractmethod
    def error(self) -> type[Exception]:
        """The exceptions of its driver."""

    def words(self, error: Exception) -> str:
        """Return an error's message for a person; without secrets."""
        return str(error)

    def require(self) -> None:
        """Check that it can be used here.

        Raises:
            MissingExtraError: It needs an optional package.
        """
        return

    @abstractmethod
    def open(self) -> None:
        """Connect, and keep other runs out until `close`.

        Raises:
            ConfigError: Another run uses it, or it has tables that hurtle did not create.
        """

    @abstractmethod
    def tables(self) -> set[str]:
        """Return the names of the existing tables."""

    def read_run(self) -> Record | None:
        """Return the record of the run, and find its ledger; None: there is no run.

        Raises:
            ConfigError: The tables exist, but hurtle did not create them.
            OtherVersionError: The record is of another version.
            JournalError: The record is damaged.
        """
        if RUN not in self.tables():
            return None
        texts = [text for (text,) in self.ask(f"SELECT CAST({RECORD} AS VARCHAR) FROM {RUN}")]
        try:
            found = json.loads(texts[0]) if texts else None
        except (TypeError, ValueError, RecursionError) as error:
            raise JournalError(f"{self.shown} is damaged: {error}") from error
        record = refuse_other_version(found, self.shown)
        self.find_ledger(record)
        return record

    @abstractmethod
    def find_ledger(self, record: Record) -> None:
        """Set `ledger` and `ledger_elsewhere`: find out where the ledger of a run is."""

    def lacks_ledger(self, record: Record) -> bool:
        """Whether a crash came before the ledger of a new run was created."""
        del record
        return False

    @abstractmethod
    def begin_ledger(self) -> Record:
        """Prepare the place for a ledger; return what to add to the record of the run.

        Raises:
            ConfigError, OSError: It cannot be written.
        """

    @abstractmethod
    def drop_ledger(self) -> None:
        """Remove the ledger and the log of answers: each of their requests has a row. Idempotent.

        Raises:
            OSError: They could not be removed.
        """

    @abstractmethod
    def begin_run(self, record: Record) -> Record:
        """Drop what an earlier run left, including its ledger, and begin a new run with a new ledger.

        Returns:
            The record as written.
        """

    @abstractmethod
    def make_tables(self, record: Record) -> None:
        """Drop the tables of an earlier run, create new ones and record the run, all in one transaction."""

    @abstractmethod
    def open_to_read(self) -> None:
        """Connect to read what is committed, possibly while a run writes; other runs are not kept out.

        Raises:
            ConfigError: It does not exist, or cannot be read now.
        """

    @abstractmethod
    def ask(self, query: str, rows: int = FETCH_ROWS) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query.

        Args:
            query: A SELECT.
            rows: Approximately how many rows to fetch at a time.
        """

    @abstractmethod
    def change(self, statement: str, *parameters: str) -> None:
        """Execute a statement in the open transaction; open one if there is none.

        Args:
            statement: SQL that all databases understand, with "?" for parameters.
            parameters: The parameters, as text.
        """

    def done(self) -> Done:
        """Return the positions that have rows."""
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
        """Return SQL that selects a column."""
        del kind
        return f'"{name}"'

    def count(self) -> int:
        """Return how many rows there are."""
        ((rows,),) = self.ask(f"SELECT count(*) FROM {RESULTS}")
        return int(rows)

    @abstractmethod
    def names(self) -> list[str]:
        """Return the columns of `results`, in order."""

    @abstractmethod
    def type_of(self, name: str) -> str:
        """Return the type of a column of `results`, in SQL."""

    def add_columns(self) -> bool:
        """Add the columns that an earlier version's table lacks, null in its rows, in the open transaction.

        Returns:
            Whether columns were missing.
        """
        known = frozenset(self.names())
        missing = [name for name in self.columns if name not in known]
        for name in missing:
            self.change(f'ALTER TABLE {RESULTS} ADD COLUMN "{name}" {self.type_of(name)}')
        return bool(missing)

    def write_record(self, record: Record) -> None:
        """Replace the record of the run, in the open transaction."""
        self.change(f"UPDATE {RUN} SET record = ?", json.dumps(record, sort_keys=True))

    def want(self, indexes: Sequence[int]) -> None:
        """Record the positions to resend, instead of earlier ones, in the open transaction."""
        self.forget_wanted()
        self.change(f'CREATE TABLE {WANTED} ("index" BIGINT PRIMARY KEY)')
        for first in range(0, len(indexes), WANTED_ROWS):
            piece = json.dumps(list(indexes[first : first + WANTED_ROWS]))
            self.change(f"INSERT INTO {WANTED} {self.numbers}", piece)

    def wanted(self) -> Iterator[int]:
        """Yield the positions to resend."""
        return (index for (index,) in self.ask(f'SELECT "index" FROM {WANTED}'))

    def unwant(self, indexes: Iterable[int]) -> None:
        """Remove positions from those to resend, in the open transaction."""
        self.change(f'DELETE FROM {WANTED} WHERE "index" IN ({self.numbers})', json.dumps(list(indexes)))

    def forget_wanted(self) -> None:
        """Drop the list of positions to resend, if there is one, in the open transaction."""
        self.change(f"DROP TABLE IF EXISTS {WANTED}")

    @abstractmethod
    def insert(self, rows: Rows) -> None:
        """Add rows to the open transaction; open one if there is none."""

    @abstractmethod
    def commit(self) -> None:
        """Commit the transaction: its rows survive whatever happens."""

    @abstractmethod
    def rollback(self) -> None:
        """Drop the open transaction, if there is one."""

    def complete(self) -> None:
        """Make the tables easier to read for others, once all rows are in. Nothing depends on it."""
        return

    @abstractmethod
    def close(self) -> None:
        """Disconnect and let other runs in. Idempotent, even if `open` failed."""


def quoted(columns: Iterable[str]) -> str:
    """Return column names as a list in SQL."""
    return ", ".join(f'"{name}"' for name in columns)


def foreign_table(columns: Iterable[tuple[str, str]], *, others: bool) -> str | None:
    """Return a table that hurtle did not create and that is in the way of a run; None: there is none.

    Args:
        columns: Table and column of every column in the database.
        others: Whether tables with other names are allowed where there is no run.
    """
    tables: dict[str, list[str]] = {}
    for table, column in columns:
        tables.setdefault(table, []).append(column)
    if RUN in tables and RECORD not in tables[RUN]:
        return RUN
    if RESULTS in tables and (RUN not in tables or not {*tables[RESULTS], *REFRESH_COLUMNS} >= REQUIRED):
        return RESULTS
    return None if others or RUN in tables else min(tables, default=None)
