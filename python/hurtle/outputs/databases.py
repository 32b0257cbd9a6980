"""The databases that results go to, by name."""

from collections.abc import Callable
from functools import partial

from hurtle.outputs.database import Database


def _sqlite(path: str) -> Database:
    from hurtle.outputs.sqlite import SqliteDatabase

    return SqliteDatabase(path)


def _duckdb(path: str) -> Database:
    from hurtle.outputs.duckdb_file import DuckdbDatabase

    return DuckdbDatabase(path)


def _postgres(address: str) -> Database:
    from hurtle.outputs.postgres import PostgresDatabase

    return PostgresDatabase(address)


DATABASES: dict[str, Callable[[str], Database]] = {
    "sqlite": _sqlite,
    "duckdb": _duckdb,
    "postgres": _postgres,
}
"""What makes each, of a file's path or an address. A driver is imported when it is used."""

ADDRESSES = {"postgresql://": "postgres", "postgres://": "postgres"}
"""The database that an address means, by its beginning."""


def addressed(out: str) -> tuple[str, Callable[[], Database]] | None:
    """Return the name of the database that an address leads to, and what makes it; None: it is none.

    Schemes are the same in capitals (RFC 3986, section 3.1).

    Example:
        >>> addressed("PostgreSQL://db.example/crawl")[0], addressed("out.sqlite")
        ('postgres', None)
    """
    scheme, mark, rest = out.partition("://")
    beginning = scheme.lower() + mark
    if (name := ADDRESSES.get(beginning)) is None:
        return None
    return name, partial(DATABASES[name], beginning + rest)
