"""The result table in an SQLite file, by the standard library."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Literal

from hurtle.errors import ConfigError
from hurtle.formats.table import Kind, column_definitions, values
from hurtle.formats.writer import refuse_unwritable
from hurtle.outputs.database import FETCH_ROWS, RESULTS, RUN, WANTED, quoted
from hurtle.outputs.database_file import DatabaseFile
from hurtle.outputs.record import Record
from hurtle.rows import Rows

TYPES: dict[Kind, str] = {
    "integer": "INTEGER",
    "text": "TEXT",
    "boolean": "INTEGER",
    "instant": "TEXT",
    "seconds": "REAL",
    "json": "TEXT",
    "bytes": "BLOB",
}
"""Instants are ISO 8601 with microseconds and Z: they sort as text, and SQLite's functions can read them."""

BUSY_SECONDS = 30.0
"""How long to wait for a transaction of another program."""

PRIMARY = 0xFF
"""The bits of an error code that say what went wrong, without where. Source: https://www.sqlite.org/rescode.html"""


class SqliteDatabase(DatabaseFile):
    """One SQLite file. Other programs may read it during the run; they see what is committed.

    Args:
        path: The file.
    """

    name = "sqlite"
    numbers = "SELECT value FROM json_each(?)"

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._connection: sqlite3.Connection | None = None

    @property
    def error(self) -> type[Exception]:
        """The exceptions of sqlite3."""
        return sqlite3.Error

    def open(self) -> None:
        """Open the file with a write-ahead log; each commit is fsynced."""
        refuse_unwritable(self._path)
        self._lock.take()
        # An event loop's executor writes rows on different threads, one after the other.
        connection = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._connection = connection
        self._refuse_foreign_tables(connection)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    def open_to_read(self) -> None:
        """Open the file and the log next to it, if there is one.

        What a crash left half done, such as a change of the journal mode, is rolled back first. Source:
        https://www.sqlite.org/lockingv3.html, section 4.2, "Dealing with hot journals".
        """
        try:
            try:
                self._read_tables()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & PRIMARY != sqlite3.SQLITE_READONLY:
                    raise
                self._roll_back_crash()
                self._read_tables()
        except sqlite3.Error as error:
            raise ConfigError(f"{self.shown} cannot be read: {error}", option="out") from error

    def _read_tables(self) -> None:
        self._connection = self._connect("ro")
        self._refuse_foreign_tables(self._connection)

    def _roll_back_crash(self) -> None:
        """Let SQLite roll back what a crash left, as it does for the first reader with write access."""
        self._disconnect()
        # Not during a run, which does it itself.
        self._lock.take()
        try:
            with closing(self._connect("rw")) as connection:
                connection.execute("SELECT name FROM sqlite_master").fetchall()
        finally:
            self._lock.release()

    def _connect(self, mode: Literal["ro", "rw"]) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self._path.as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )

    def _refuse_foreign_tables(self, connection: sqlite3.Connection) -> None:
        """Refuse a database that hurtle did not create, before anything in it is changed."""
        query = (
            "SELECT m.name, c.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c"
            " WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"
        )
        self.refuse_foreign(connection.execute(query))

    def tables(self) -> set[str]:
        """Ask SQLite."""
        return {
            name for (name,) in self._opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }

    def make_tables(self, record: Record) -> None:
        """Create the tables."""
        connection = self._opened
        connection.execute("BEGIN IMMEDIATE")
        for name in (RESULTS, RUN, WANTED):
            connection.execute(f"DROP TABLE IF EXISTS {name}")
        connection.execute(f"CREATE TABLE {RESULTS} ({column_definitions(TYPES, self.columns)})")
        connection.execute(f"CREATE TABLE {RUN} (record TEXT NOT NULL)")
        connection.execute(f"INSERT INTO {RUN} VALUES (?)", (json.dumps(record, sort_keys=True),))
        connection.execute("COMMIT")

    def ask(self, query: str, rows: int = FETCH_ROWS) -> Iterator[tuple[Any, ...]]:
        """Step through the query, row by row."""
        del rows
        return iter(self._opened.execute(query))

    def names(self) -> list[str]:
        """Read the columns from a query without rows."""
        return [name for name, *_ in self._opened.execute(f"SELECT * FROM {RESULTS} LIMIT 0").description]

    def type_of(self, name: str) -> str:
        """Look up its kind."""
        return TYPES[self.columns[name]]

    def change(self, statement: str, *parameters: str) -> None:
        """Execute the statement."""
        self._begin()
        self._opened.execute(statement, parameters)

    def _begin(self) -> None:
        if not self._opened.in_transaction:
            self._opened.execute("BEGIN IMMEDIATE")

    def insert(self, rows: Rows) -> None:
        """Insert row by row, with one prepared statement."""
        self._begin()
        marks = ", ".join("?" * len(self.columns))
        insert = f"INSERT OR REPLACE INTO {RESULTS} ({quoted(self.columns)}) VALUES ({marks})"
        # sqlite3 looks for an adapter of each True and False, in vain.
        self._opened.executemany(insert, values(rows, self.columns, with_flags=False))

    def commit(self) -> None:
        """Commit; the log is fsynced."""
        self._opened.execute("COMMIT")

    def rollback(self) -> None:
        """Roll back, unless SQLite already did so itself."""
        if self._opened.in_transaction:
            self._opened.execute("ROLLBACK")

    def complete(self) -> None:
        """Leave one plain file, which opens even on a read-only disk; not while others read it."""
        self._opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._opened.execute("PRAGMA busy_timeout=0")
        self._opened.execute("PRAGMA journal_mode=DELETE")

    def close(self) -> None:
        """Close the file; the last one to do so moves the log into it."""
        try:
            self._disconnect()
        finally:
            self._lock.release()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise ValueError("the database is not open")
        return self._connection
