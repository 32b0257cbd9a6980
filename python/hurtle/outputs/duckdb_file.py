"""The result table in a DuckDB file: Arrow's own types, lists and structs included."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hurtle.errors import ConfigError, MissingExtraError
from hurtle.formats.columns import table_schema
from hurtle.formats.table import REQUIRED, arrow_schema_of
from hurtle.formats.writer import refuse_unwritable
from hurtle.outputs.answers import ANSWERS
from hurtle.outputs.database import FETCH_ROWS, RESULTS, RUN, WANTED, quoted
from hurtle.outputs.database_file import DatabaseFile
from hurtle.outputs.record import Record
from hurtle.rows import Rows

if TYPE_CHECKING:
    import duckdb

SETTINGS: dict[str, str | bool | int | float | list[str]] = {"autoinstall_known_extensions": False}
"""Nothing is downloaded: no extension is needed."""

BATCH = "hurtle_batch"

HERE = "database_name = current_database() AND schema_name = current_schema()"
"""A condition for the tables in the schema of the run."""


class DuckdbDatabase(DatabaseFile):
    """One DuckDB file. DuckDB lets no other process read it during the run.

    Args:
        path: The file.
    """

    name = "duckdb"
    numbers = "SELECT unnest(CAST(? AS BIGINT[]))"
    # DuckDB is made for few large transactions: these limits are those of a part.
    commit_rows = 10_000
    commit_seconds = 30.0

    def __init__(self, path: str) -> None:
        super().__init__(path)
        # Its transactions cost more than all else that a request does.
        self.answers = self._path.with_name(f"{self._path.name}.{ANSWERS}")
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._in_transaction = False
        self._batches: list[Any] = []

    @property
    def error(self) -> type[Exception]:
        """The exceptions of duckdb."""
        import duckdb

        return duckdb.Error

    def require(self) -> None:
        """Look for duckdb, and for pyarrow, which passes the columns to it."""
        try:
            import duckdb  # noqa: F401 - only checked for
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("duckdb", "writing a DuckDB file") from error

    def open(self) -> None:
        """Open the file; DuckDB fsyncs its log at each commit."""
        import duckdb

        refuse_unwritable(self._path)
        self._lock.take()
        self._connection = duckdb.connect(str(self._path), config=SETTINGS)
        self._refuse_foreign_tables()

    def open_to_read(self) -> None:
        """Open the file and its log. DuckDB admits no reader while another process writes."""
        import duckdb

        try:
            self._connection = duckdb.connect(str(self._path), read_only=True, config=SETTINGS)
        except (duckdb.IOException, duckdb.ConnectionException) as error:
            # If a run keeps readers out, its lock names it; a read-only folder has no lock.
            with suppress(OSError):
                self._lock.take()
            self._lock.release()
            raise ConfigError(
                f"{self.shown} cannot be read: DuckDB says {str(error).splitlines()[0]}", option="out"
            ) from error
        self._refuse_foreign_tables()

    def _refuse_foreign_tables(self) -> None:
        query = f"SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal AND {HERE}"
        self.refuse_foreign(self._opened.execute(query).fetchall())

    def tables(self) -> set[str]:
        """Ask DuckDB."""
        query = f"SELECT table_name FROM duckdb_tables() WHERE {HERE}"
        return {name for (name,) in self._opened.execute(query).fetchall()}

    def make_tables(self, record: Record) -> None:
        """Create the tables."""
        connection = self._opened
        connection.begin()
        for name in (RESULTS, RUN, WANTED):
            connection.execute(f"DROP TABLE IF EXISTS {name}")
        described = self._described(arrow_schema_of(record))
        columns = ", ".join(f'"{name}" {kind}{_constraint(name)}' for name, kind in described.items())
        connection.execute(f"CREATE TABLE {RESULTS} ({columns})")
        connection.execute(f"CREATE TABLE {RUN} (record VARCHAR NOT NULL)")
        connection.execute(f"INSERT INTO {RUN} VALUES (?)", [json.dumps(record, sort_keys=True)])
        connection.commit()

    def _described(self, schema: Any) -> dict[str, str]:  # noqa: ANN401 - pyarrow has no types
        """Return DuckDB's types for the columns of a schema."""
        # On a separate cursor: an unfinished result on this connection does not interfere there.
        with self._opened.cursor() as cursor:
            cursor.register(BATCH, schema.empty_table())
            return {name: kind for name, kind, *_ in cursor.execute(f"DESCRIBE {BATCH}").fetchall()}

    def type_of(self, name: str) -> str:
        """Ask DuckDB for the type of the Arrow column."""
        return self._described(table_schema([name]))[name]

    def ask(self, query: str, rows: int = FETCH_ROWS) -> Iterator[tuple[Any, ...]]:
        """Fetch piece by piece."""
        # On a separate cursor: another query on this connection would end this one.
        with self._opened.cursor() as cursor:
            found = cursor.execute(query)
            while piece := found.fetchmany(rows):
                yield from piece

    def names(self) -> list[str]:
        """Read the columns from a query without rows."""
        with self._opened.cursor() as cursor:
            return [name for name, *_ in cursor.execute(f"SELECT * FROM {RESULTS} LIMIT 0").description]

    def batches(self, names: Iterable[str], rows: int) -> Iterator[Any]:
        """Yield the rows as `pyarrow.RecordBatch`es.

        Args:
            names: The columns.
            rows: The most rows in a batch.
        """
        with self._opened.cursor() as cursor:
            relation = cursor.sql(f"SELECT {quoted(names)} FROM {RESULTS}")
            # An older DuckDB has only the second name, which a newer one warns about.
            stream = getattr(relation, "to_arrow_reader", None) or relation.fetch_arrow_reader
            yield from stream(rows)

    def change(self, statement: str, *parameters: str) -> None:
        """Execute the statement."""
        self._begin()
        self._opened.execute(statement, list(parameters))

    def _begin(self) -> None:
        if not self._in_transaction:
            self._opened.begin()
            self._in_transaction = True

    def insert(self, rows: Rows) -> None:
        """Keep the columns as they are, without an object for each value; `commit` inserts them all at once.

        A statement takes milliseconds, however few rows it inserts.
        """
        import pyarrow

        self._batches.append(pyarrow.record_batch(rows))

    def commit(self) -> None:
        """Insert the rows so far, and commit; the log is fsynced."""
        import pyarrow

        connection = self._opened
        self._begin()
        batches, self._batches = self._batches, []
        if batches:
            connection.register(BATCH, pyarrow.Table.from_batches(batches))
            connection.execute(f"INSERT OR REPLACE INTO {RESULTS} BY NAME SELECT * FROM {BATCH}")
            connection.unregister(BATCH)
        connection.commit()
        self._in_transaction = False

    def rollback(self) -> None:
        """Roll back."""
        self._batches = []
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
