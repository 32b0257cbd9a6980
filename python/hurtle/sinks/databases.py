"""The databases that results go to, by name."""

from collections.abc import Callable

from hurtle.sinks.database import Database


def _sqlite(path: str) -> Database:
    from hurtle.sinks.sqlite import SqliteDatabase

    return SqliteDatabase(path)


def _duckdb(path: str) -> Database:
    from hurtle.sinks.duckdb_file import DuckdbDatabase

    return DuckdbDatabase(path)


def _postgres(address: str) -> Database:
    from hurtle.sinks.postgres import PostgresDatabase

    return PostgresDatabase(address)


DATABASES: dict[str, Callable[[str], Database]] = {
    "sqlite": _sqlite,
    "duckdb": _duckdb,
    "postgres": _postgres,
}
"""What makes each, of a file's path or an address. A driver is imported when it is used."""

ADDRESSES = {"postgresql://": "postgres", "postgres://": "postgres"}
"""The database that an address means, by its beginning."""
