"""All databases that results can go to, in one list: found by name, by address, by a file's first bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hurtle.outputs.database import Database

SQLITE_MARK = b"SQLite format 3\0"
"""What a file begins with. Source: https://www.sqlite.org/fileformat.html, section 1.3."""

DUCKDB_MARK, DUCKDB_MARK_AT = b"DUCK", 8
"""It comes after a checksum. Source: https://duckdb.org/docs/stable/internals/storage"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseKind:
    """A kind of database.

    Attributes:
        name: Its name, for callers and in the record of a run.
        make: Makes one from a file's path or an address. The driver is imported when it is used.
        schemes: The schemes of its addresses, in lower case; empty if it is a file.
        extensions: The extensions of its files, dots included; empty if it is not a file.
        mark: Bytes that identify its files; empty if it is not a file.
        mark_at: How many bytes come before the mark.
    """

    name: str
    make: "Callable[[str], Database]"
    schemes: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    mark: bytes = b""
    mark_at: int = 0

    def is_marked(self, head: bytes) -> bool:
        """Whether a file is such a database, judged by its first bytes."""
        return bool(self.mark) and head.startswith(self.mark, self.mark_at)


def _sqlite(path: str) -> "Database":
    from hurtle.outputs.sqlite import SqliteDatabase

    return SqliteDatabase(path)


def _duckdb(path: str) -> "Database":
    from hurtle.outputs.duckdb_file import DuckdbDatabase

    return DuckdbDatabase(path)


def _postgres(address: str) -> "Database":
    from hurtle.outputs.postgres import PostgresDatabase

    return PostgresDatabase(address)


_KINDS = (
    DatabaseKind(name="sqlite", make=_sqlite, extensions=(".sqlite", ".sqlite3", ".db"), mark=SQLITE_MARK),
    DatabaseKind(
        name="duckdb", make=_duckdb, extensions=(".duckdb",), mark=DUCKDB_MARK, mark_at=DUCKDB_MARK_AT
    ),
    DatabaseKind(name="postgres", make=_postgres, schemes=("postgresql://", "postgres://")),
)
"""All databases. A new one is a line here and a file in this folder."""

DATABASES: dict[str, DatabaseKind] = {one.name: one for one in _KINDS}
"""By the name that a run records."""

EXTENSIONS: dict[str, str] = {extension: one.name for one in _KINDS for extension in one.extensions}
"""The database that each extension stands for."""


def marked_database(head: bytes) -> str | None:
    """Return the kind of database that a file is, by its first bytes; None if it is not a database."""
    return next((one.name for one in _KINDS if one.is_marked(head)), None)


def addressed(out: str) -> "tuple[str, Callable[[], Database]] | None":
    """Return the name of the database at an address, and a function that makes it; None if there is none.

    Schemes ignore case (RFC 3986, section 3.1).

    Example:
        >>> addressed("PostgreSQL://db.example/crawl")[0], addressed("out.sqlite")
        ('postgres', None)
    """
    scheme, mark, rest = out.partition("://")
    beginning = scheme.lower() + mark
    found = next((one for one in _KINDS if beginning in one.schemes), None)
    return None if found is None else (found.name, partial(found.make, beginning + rest))
