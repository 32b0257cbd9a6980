"""The result table in a DuckDB file: Arrow's own types, lists and structs included."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hurtle.client import Rows
from hurtle.errors import ConfigError, MissingExtraError
from hurtle.journal import sync_folder
from hurtle.sinks.database import RESULTS, RUN, Database
from hurtle.sinks.lock import Lock
from hurtle.sinks.recorded import Record, refuse_other_version
from hurtle.sinks.table import REQUIRED
from hurtle.sinks.writer import refuse_unwritable

if TYPE_CHECKING:
    import duckdb

SETTINGS: dict[str, str | bool | int | float | list[str]] = {"autoinstall_known_extensions": False}
"""Nothing is fetched from anywhere: no extension is needed."""

BATCH = "hurtle_batch"


class DuckdbDatabase(Database):
    """One DuckDB file. DuckDB lets nobody else read it during the run.

    Args:
        path: The file.
    """

    name = "duckdb"
    # DuckDB is made for few large transactions: these are the bounds of a part.
    commit_rows = 10_000
    commit_seconds = 30.0

    def __init__(self, path: str) -> None:
        self.shown = path
        self._path = Path(path).resolve()
        self._lock = Lock(self._path.with_name(self._path.name + ".lock"), path)
        self.ledger = self._path.with_name(self._path.name + ".ledger")
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._in_transaction = False

    @property
    def error(self) -> type[Exception]:
        """What duckdb raises."""
        import duckdb

        return duckdb.Error

    def require(self) -> None:
        """Look for duckdb and pyarrow, which hands it the columns."""
        try:
            import duckdb  # noqa: F401 - only looked for
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("duckdb", "writing a DuckDB file") from error

    def open(self) -> None:
        """Open the file; DuckDB fsyncs its log at each commit."""
        import duckdb

        refuse_unwritable(self._path)
        self._lock.take()
        self._connection = duckdb.connect(str(self._path), config=SETTINGS)
        tables = self._tables()
        if tables and not {RESULTS, RUN} <= tables:
            raise ConfigError(
                f"{self.shown} holds the table {min(tables)}, which is of no run; name another file",
                option="out",
            )

    def _tables(self) -> set[str]:
        return {name for (name,) in self._opened.execute("SELECT table_name FROM duckdb_tables()").fetchall()}

    def read_run(self) -> Record | None:
        """Read the table `run`."""
        if RUN not in self._tables():
            return None
        row = self._opened.execute(f"SELECT record FROM {RUN}").fetchone()
        return refuse_other_version(None if row is None else json.loads(row[0]), self.shown)

    def begin_run(self, record: Record) -> None:
        """Make the tables, and the file's name durable."""
        import pyarrow

        from hurtle._engine import arrow_schema

        connection = self._opened
        connection.begin()
        for name in (RESULTS, RUN):
            connection.execute(f"DROP TABLE IF EXISTS {name}")
        connection.register(BATCH, pyarrow.schema(arrow_schema()).empty_table())
        described = connection.execute(f"DESCRIBE {BATCH}").fetchall()
        connection.unregister(BATCH)
        columns = ", ".join(f'"{name}" {kind}{_constraint(name)}' for name, kind, *_ in described)
        connection.execute(f"CREATE TABLE {RESULTS} ({columns})")
        connection.execute(f"CREATE TABLE {RUN} (record VARCHAR NOT NULL)")
        connection.execute(f"INSERT INTO {RUN} VALUES (?)", [json.dumps(record, sort_keys=True)])
        connection.commit()
        sync_folder(self._path.parent)

    def done(self) -> Iterator[int]:
        """Read the primary key."""
        found = self._opened.execute(f'SELECT "index" FROM {RESULTS}')
        while rows := found.fetchmany(10_000):
            yield from (index for (index,) in rows)

    def insert(self, rows: Rows) -> None:
        """Insert the columns as they are, without an object for each value."""
        import pyarrow

        connection = self._opened
        if not self._in_transaction:
            connection.begin()
            self._in_transaction = True
        connection.register(BATCH, pyarrow.Table.from_batches([pyarrow.record_batch(rows)]))
        connection.execute(f"INSERT INTO {RESULTS} BY NAME SELECT * FROM {BATCH}")
        connection.unregister(BATCH)

    def commit(self) -> None:
        """Commit; the log is fsynced."""
        self._opened.commit()
        self._in_transaction = False

    def rollback(self) -> None:
        """Roll back."""
        if self._in_transaction:
            self._in_transaction = False
            self._opened.rollback()

    def complete(self) -> None:
        """Move the log into the file."""
        self._opened.execute("CHECKPOINT")

    def close(self) -> None:
        """Close the file."""
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                connection.close()
        finally:
            self._lock.release()

    @property
    def _opened(self) -> "duckdb.DuckDBPyConnection":
        if self._connection is None:
            raise ValueError("the database is not open")
        return self._connection


def _constraint(name: str) -> str:
    return " PRIMARY KEY" if name == "index" else " NOT NULL" if name in REQUIRED else ""
