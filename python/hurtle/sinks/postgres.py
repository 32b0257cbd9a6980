"""The result table in PostgreSQL, by psycopg: COPY to a temporary table, then one INSERT a transaction."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from hurtle.client import Rows
from hurtle.errors import ConfigError, MissingExtraError
from hurtle.sinks.database import RESULTS, RUN, Database
from hurtle.sinks.recorded import Record, refuse_other_version
from hurtle.sinks.table import COLUMNS, Kind, column_definitions, values

if TYPE_CHECKING:
    from psycopg import Connection

TYPES: dict[Kind, str] = {
    "integer": "BIGINT",
    "text": "TEXT",
    "boolean": "BOOLEAN",
    "instant": "TIMESTAMPTZ",
    "seconds": "DOUBLE PRECISION",
    "json": "JSON",
    "bytes": "BYTEA",
}
"""JSON and not JSONB, which refuses the character NUL that a caller's `meta` may hold."""

STAGE = "hurtle_rows"
"""The temporary table that COPY writes to: COPY itself knows no conflicts."""

UPSERT = f'INSERT INTO {RESULTS} SELECT * FROM {STAGE} ON CONFLICT ("index") DO UPDATE SET ' + ", ".join(
    f'"{name}" = excluded."{name}"' for name in COLUMNS if name != "index"
)

LOCK = 0x6875_7274
"""The first half of the advisory lock's number; the second is the schema's."""

LOCK_SECONDS = 3.0
"""A server needs a moment to see that the process is gone that held the lock."""

DEFAULTS = {"connect_timeout": "10", "application_name": "hurtle"}
"""Parameters of a connection that the address does not set."""

_ADDRESS = re.compile(r"postgres(?:ql)?://(?:[^@/?#]*@)?([^@?#]*)(?:[?#][^@]*)?")


class PostgresDatabase(Database):
    """The schema of a PostgreSQL database that comes first in the search path.

    Args:
        address: As libpq has it: `postgresql://user@host:port/database?parameter=value`. Its password is kept
            out of messages and tables.
    """

    name = "postgres"

    def __init__(self, address: str) -> None:
        plain = _ADDRESS.fullmatch(address)
        self.shown = f"postgresql://{plain.group(1)}" if plain else "postgresql://…"
        self._address = address
        self._secret: str | None = None
        self._connection: Connection[tuple[Any, ...]] | None = None
        self._in_transaction = False

    @property
    def error(self) -> type[Exception]:
        """What psycopg raises."""
        import psycopg

        return psycopg.Error

    def words(self, error: Exception) -> str:
        """Return the first line of what the server said, without the password."""
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        return first.replace(self._secret, "***") if self._secret else first

    def require(self) -> None:
        """Look for psycopg and libpq."""
        try:
            import psycopg  # noqa: F401 - only looked for
        except ImportError as error:
            raise MissingExtraError("postgres", "writing to PostgreSQL") from error

    def open(self) -> None:
        """Connect, and take an advisory lock, which ends with the connection."""
        import psycopg

        parameters = self._parameters()
        self._connection = psycopg.connect(**parameters, autocommit=True)
        # A commit that the server may forget is none; what is stricter than "on" stays.
        self._opened.execute(
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') IN ('off', 'local')"
        )
        self._take_lock()
        tables = self._tables()
        if RESULTS in tables and RUN not in tables:
            raise ConfigError(
                f"{self.shown} holds the table {RESULTS}, which is of no run; name another schema:"
                " ?options=-csearch_path%3DNAME",
                option="out",
            )

    def _parameters(self) -> dict[str, Any]:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict

        with suppress(ProgrammingError):
            given = conninfo_to_dict(self._address)
            self._secret = given.get("password")  # type: ignore[assignment]
            return DEFAULTS | given
        # libpq repeats the address in its words.
        raise ConfigError(f"{self.shown}: not an address as libpq reads it", option="out")

    def _take_lock(self) -> None:
        row = self._opened.execute("SELECT current_schema()").fetchone()
        if row is None or row[0] is None:
            raise ConfigError(f"{self.shown}: the search path names no schema that is there", option="out")
        until = monotonic() + LOCK_SECONDS
        query = "SELECT pg_try_advisory_lock(%s, hashtext(current_schema()))"
        while self._opened.execute(query, (LOCK,)).fetchone() != (True,):
            if monotonic() > until:
                raise ConfigError(f"another run is using {self.shown}: wait for its end", option="out")
            sleep(0.1)

    def _tables(self) -> set[str]:
        query = "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
        return {name for (name,) in self._opened.execute(query)}

    def read_run(self) -> Record | None:
        """Read the table `run`."""
        if RUN not in self._tables():
            return None
        row = self._opened.execute(f"SELECT record::text FROM {RUN}").fetchone()
        return refuse_other_version(None if row is None else json.loads(row[0]), self.shown)

    def begin_run(self, record: Record) -> None:
        """Make the tables."""
        with self._opened.transaction():
            for name in (RESULTS, RUN):
                self._opened.execute(f"DROP TABLE IF EXISTS {name}")
            self._opened.execute(f"CREATE TABLE {RESULTS} ({column_definitions(TYPES)})")
            self._opened.execute(f"CREATE TABLE {RUN} (record JSON NOT NULL)")
            self._opened.execute(f"INSERT INTO {RUN} VALUES (%s)", (json.dumps(record, sort_keys=True),))

    def done(self) -> Iterator[int]:
        """Read the primary key, a piece at a time."""
        with (
            self._opened.transaction(),
            self._opened.cursor("hurtle_done") as cursor,
        ):
            cursor.itersize = 10_000
            cursor.execute(f'SELECT "index" FROM {RESULTS}')
            yield from (index for (index,) in cursor)

    def insert(self, rows: Rows) -> None:
        """COPY rows to the temporary table."""
        connection = self._opened
        if not self._in_transaction:
            connection.execute("BEGIN")
            self._in_transaction = True
            connection.execute(f"CREATE TEMPORARY TABLE {STAGE} (LIKE {RESULTS}) ON COMMIT DROP")
        with connection.cursor() as cursor, cursor.copy(f"COPY {STAGE} FROM STDIN") as copy:
            for row in values(rows):
                copy.write_row([_without_nul(value) for value in row])

    def commit(self) -> None:
        """Move the rows to their table; one with the same index is replaced."""
        self._opened.execute(UPSERT)
        self._opened.execute("COMMIT")
        self._in_transaction = False

    def rollback(self) -> None:
        """Roll back."""
        if self._in_transaction:
            self._in_transaction = False
            self._opened.execute("ROLLBACK")

    def close(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @property
    def _opened(self) -> "Connection[tuple[Any, ...]]":
        if self._connection is None:
            raise ValueError("the database is not open")
        return self._connection


def _without_nul(value: object) -> object:
    """Return a value as PostgreSQL can hold it: a URL with a NUL is an input error, and still has its row."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value
