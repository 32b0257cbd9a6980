"""Reads the table of a database, as its transactions have left it."""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias, cast

from hurtle.errors import ConfigError, HurtleError, JournalError
from hurtle.formats.columns import arrow, batch_of, fitted, kind_of, table_schema, with_later
from hurtle.formats.row_json import StoredRow, meta_text
from hurtle.formats.stored import CHUNK_ROWS, LOOKED_UP, Finder, StoredRows, in_chunks, read_body
from hurtle.formats.table import Kind
from hurtle.outputs.database import FETCH_BODIES, RESULTS, Database
from hurtle.outputs.duckdb_file import DuckdbDatabase

_AS_SQL = {name: f'"{name}"' for name in LOOKED_UP} | {"fetched_at": 'CAST("fetched_at" AS VARCHAR)'}
"""The columns for a look-up, in SQL that every database understands."""

Opened: TypeAlias = Callable[[], AbstractContextManager[Database]]
"""Opens a database to read it, and closes it again."""


class StoredTable(StoredRows, Finder):
    """The table `results`, read row by row. It has the columns of the database's table.

    Args:
        opened: Opens the database for each read.
        file: The file that the database is; None: it is on a server.
    """

    def __init__(self, opened: Opened, file: Path | None = None) -> None:
        self._opened = opened
        self._file = file
        self._around: dict[int, StoredRow] = {}

    def count(self) -> int:
        """Ask the database."""
        with self._reading() as database:
            return database.count()

    def rows(self, columns: Collection[str] | None = None) -> Iterator[list[StoredRow]]:
        """Yield the rows that are committed when the first one is read."""
        return in_chunks(self._rows(columns))

    def batches(self) -> Iterator[Any]:
        """Yield the rows as columns."""
        schema = self.schema()
        return (batch_of(chunk, schema) for chunk in self.rows())

    def schema(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Return the table's columns, with the types of the result table."""
        with self._reading() as database:
            return table_schema(with_later(database.names()))

    def body(self, row: StoredRow) -> bytes | None:
        """Return the body from the row, or from the file that the row names."""
        name = row.get("body_path")
        return super().body(row) if name is None or self._file is None else read_body(self._file, name)

    def finder(self) -> Finder:
        """Return itself: a place leads straight to a row."""
        return self

    def places(self) -> Iterator[tuple[int, int]]:
        """Yield each row's position twice: it is the key."""
        return ((row["index"], row["index"]) for chunk in self.rows(("index",)) for row in chunk)

    def row_at(self, place: int) -> StoredRow:
        """Read the row with those around it: they often include the next one, and opening takes longest."""
        if place not in self._around:
            first = place - place % FETCH_BODIES
            self._around = {row["index"]: row for row in self._between(first, first + FETCH_BODIES)}
        if (row := self._around.get(place)) is None:
            raise JournalError(f"row {place} is gone: the table no longer has it; open the run again")
        return row

    def _between(self, first: int, end: int) -> Iterator[StoredRow]:
        with self._reading() as database:
            names = [name for name in database.names() if name in _AS_SQL]
            listed = ", ".join(map(_AS_SQL.__getitem__, names))
            where = f'"index" >= {int(first)} AND "index" < {int(end)}'
            for values in database.ask(f"SELECT {listed} FROM {RESULTS} WHERE {where}", FETCH_BODIES):
                found = zip(names, values, strict=True)
                yield {name: _value(name, kind_of(name), value) for name, value in found}

    def _rows(self, columns: Collection[str] | None) -> Iterator[tuple[StoredRow, int]]:
        with self._reading() as database:
            names = database.names()
            kinds = {name: kind_of(name) for name in names if columns is None or name in columns}
            absent = _absent(names, columns)
            for values in database.select(kinds):
                row = {
                    name: _value(name, kind, value)
                    for (name, kind), value in zip(kinds.items(), values, strict=True)
                }
                yield row | absent, len(row.get("body") or b"")

    @contextmanager
    def _reading(self) -> Iterator[Database]:
        with self._opened() as database:
            try:
                yield database
            except HurtleError:
                raise
            except (OSError, ValueError, database.error) as error:
                raise JournalError(f"{database.shown} cannot be read: {database.words(error)}") from error


class StoredColumns(StoredTable):
    """The same for a database that returns columns: DuckDB."""

    def batches(self) -> Iterator[Any]:
        """Yield the table's own columns."""
        arrow("reading a DuckDB file")
        with self._reading() as database:
            names = database.names()
            schema = table_schema(with_later(names))
            for batch in cast("DuckdbDatabase", database).batches(names, CHUNK_ROWS):
                yield fitted(batch, schema)

    def _rows(self, columns: Collection[str] | None) -> Iterator[tuple[StoredRow, int]]:
        arrow("reading a DuckDB file")
        with self._reading() as database:
            names = database.names()
            schema = table_schema([name for name in names if columns is None or name in columns])
            absent = _absent(names, columns)
            for batch in cast("DuckdbDatabase", database).batches(schema.names, CHUNK_ROWS):
                for row in fitted(batch, schema).to_pylist():
                    yield row | absent, len(row.get("body") or b"")


def _absent(names: Sequence[str], columns: Collection[str] | None) -> StoredRow:
    """Return nulls for the wanted columns that the table lacks."""
    wanted = with_later(names) if columns is None else columns
    return dict.fromkeys(set(wanted).difference(names))


def stored_table(database: Database, opened: Opened) -> StoredTable:
    """Return the table of a database, which `opened` opens for each read."""
    kind = StoredColumns if database.name == DuckdbDatabase.name else StoredTable
    return kind(opened, database.file)


@contextmanager
def opened_to_read(make: Callable[[], Database]) -> Iterator[Database]:
    """Open a database to read what is committed.

    Raises:
        ConfigError: It does not exist, cannot be read now, or holds no run.
        MissingExtraError: It needs an optional package.
    """
    database = make()
    database.require()
    try:
        try:
            database.open_to_read()
        except OSError as error:
            raise ConfigError(f"{database.shown} cannot be read: {error}", option="out") from error
        yield database
    finally:
        database.close()


def _value(name: str, kind: Kind, stored: Any) -> Any:  # noqa: ANN401 - a value of any column
    if stored is None:
        return None
    if kind == "json":
        value = json.loads(stored)
        return meta_text(value) if name == "meta" else value
    if kind == "boolean":
        return bool(stored)
    if kind == "instant":
        instant = stored if isinstance(stored, datetime) else datetime.fromisoformat(stored)
        return instant.astimezone(UTC)
    return stored
