"""The result table in PostgreSQL, by psycopg: COPY to a temporary table, then one INSERT a transaction."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from hurtle.errors import ConfigError, MissingExtraError
from hurtle.formats.table import Kind, column_definitions, values
from hurtle.outputs.database import FETCH_ROWS, RESULTS, RUN, WANTED, Database, foreign_table, quoted
from hurtle.outputs.local_state import LocalState, elsewhere
from hurtle.outputs.record import Record, is_under_way
from hurtle.rows import Rows

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
"""JSON, not JSONB, which refuses the character NUL that a caller's `meta` may contain."""

STAGE = "hurtle_rows"
"""The temporary table that COPY writes to: COPY itself cannot resolve conflicts."""

UPSERT = f'INSERT INTO {RESULTS} SELECT * FROM {STAGE} ON CONFLICT ("index") DO UPDATE SET '

LOCK = 0x6875_7274
"""The first half of the advisory lock's number; the second is the schema's."""

LOCK_SECONDS = 3.0
"""A server needs a moment to notice that the process that held the lock is gone."""

DEFAULTS = {"connect_timeout": "10", "application_name": "hurtle"}
"""The parameters of a connection, unless the address sets them."""

_ADDRESS = re.compile(r"postgres(?:ql)?://(?:[^@/?#]*@)?([^@?#]*)(?:[?#][^@]*)?")


class PostgresDatabase(Database):
    """The schema of a PostgreSQL database that comes first in the search path.

    Args:
        address: In libpq's form: `postgresql://user@host:port/database?parameter=value`. Its password is kept
            out of messages and tables.
    """

    name = "postgres"
    numbers = "SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(? AS JSON))"

    def __init__(self, address: str) -> None:
        plain = _ADDRESS.fullmatch(address)
        self.shown = f"postgresql://{plain.group(1)}" if plain else "postgresql://…"
        self._address = address
        self._secret: str | None = None
        self._connection: Connection[tuple[Any, ...]] | None = None
        self._state: LocalState | None = None
        self._in_transaction = False
        self._is_staged = False

    @property
    def error(self) -> type[Exception]:
        """The exceptions of psycopg."""
        import psycopg

        return psycopg.Error

    def words(self, error: Exception) -> str:
        """Return the first line of what the server said, without the password."""
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        return first.replace(self._secret, "***") if self._secret else first

    def require(self) -> None:
        """Look for psycopg and libpq."""
        try:
            import psycopg  # noqa: F401 - only checked for
        except ImportError as error:
            raise MissingExtraError("postgres", "writing to PostgreSQL") from error

    def open(self) -> None:
        """Connect, and take an advisory lock, which ends with the connection."""
        import psycopg

        parameters = self._parameters()
        self._connection = psycopg.connect(**parameters, autocommit=True)
        # The server must not forget a commit; a setting stricter than "on" stays.
        self._opened.execute(
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') IN ('off', 'local')"
        )
        self._take_lock()
        query = (
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = current_schema()"
        )
        if (foreign := foreign_table(self._opened.execute(query), others=True)) is not None:
            raise ConfigError(
                f"{self.shown} holds the table {foreign}, not created by hurtle; name another schema:"
                " ?options=-csearch_path%3DNAME",
                option="out",
            )

    def open_to_read(self) -> None:
        """Connect, for reading only."""
        import psycopg

        try:
            self._connection = psycopg.connect(**self._parameters(), autocommit=True)
            self._opened.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
            tables = self.tables()
        except psycopg.Error as error:
            raise ConfigError(f"{self.shown} cannot be read: {self.words(error)}", option="out") from error
        if RESULTS not in tables or RUN not in tables:
            raise ConfigError(f"{self.shown} holds no run", option="out")

    def _parameters(self) -> dict[str, Any]:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict

        with suppress(ProgrammingError):
            given = conninfo_to_dict(self._address)
            self._secret = given.get("password")  # type: ignore[assignment]
            return DEFAULTS | given
        # libpq's own message would repeat the address.
        raise ConfigError(
            f"{self.shown}: libpq cannot read this address; write postgresql://USER@HOST/DATABASE",
            option="out",
        )

    def _take_lock(self) -> None:
        row = self._opened.execute("SELECT current_schema()").fetchone()
        if row is None or row[0] is None:
            raise ConfigError(f"{self.shown}: no schema in the search path exists; create one", option="out")
        until = monotonic() + LOCK_SECONDS
        query = "SELECT pg_try_advisory_lock(%s, hashtext(current_schema()))"
        while self._opened.execute(query, (LOCK,)).fetchone() != (True,):
            if monotonic() > until:
                raise ConfigError(f"another run is using {self.shown}: wait until it ends", option="out")
            sleep(0.1)

    def tables(self) -> set[str]:
        """Ask the server."""
        query = "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
        return {name for (name,) in self._opened.execute(query)}

    def find_ledger(self, record: Record) -> None:
        """Look for this machine's state of the run."""
        self._keep(LocalState.of(record, "postgres"))
        is_elsewhere = self._state is None and is_under_way(record)
        self.ledger_elsewhere = elsewhere(record) if is_elsewhere else None

    def _keep(self, state: LocalState | None) -> None:
        self._state = state
        self.ledger = None if state is None else state.ledger

    def begin_ledger(self) -> Record:
        """Create this machine's state of the run, if there is none."""
        if self._state is None:
            self._keep(LocalState.begin("postgres"))
            self.ledger_elsewhere = None
        assert self._state is not None
        return self._state.entry

    def drop_ledger(self) -> None:
        """Remove this machine's state of the run."""
        if self._state is not None:
            self._state.drop()

    def begin_run(self, record: Record) -> Record:
        """Drop what an earlier run left; its state on this machine goes once the new tables are there."""
        before, self._state = self._state, None
        record = record | self.begin_ledger()
        self.make_tables(record)
        if before is not None:
            before.drop()
        return record

    def make_tables(self, record: Record) -> None:
        """Create the tables."""
        with self._opened.transaction():
            for name in (RESULTS, RUN, WANTED):
                self._opened.execute(f"DROP TABLE IF EXISTS {name}")
            self._opened.execute(f"CREATE TABLE {RESULTS} ({column_definitions(TYPES, self.columns)})")
            self._opened.execute(f"CREATE TABLE {RUN} (record JSON NOT NULL)")
            self._opened.execute(f"INSERT INTO {RUN} VALUES (%s)", (json.dumps(record, sort_keys=True),))

    def ask(self, query: str, rows: int = FETCH_ROWS) -> Iterator[tuple[Any, ...]]:
        """Fetch from a cursor on the server, a piece at a time."""
        with self._opened.transaction(), self._opened.cursor("hurtle_rows") as cursor:
            cursor.itersize = rows
            cursor.execute(query)
            yield from cursor

    def names(self) -> list[str]:
        """Read the columns from a query without rows."""
        found = self._opened.execute(f"SELECT * FROM {RESULTS} LIMIT 0")
        return [column.name for column in found.description or ()]

    def _selected(self, name: str, kind: Kind) -> str:
        """Select JSON as text: otherwise the client would parse it."""
        return f'"{name}"::text' if kind == "json" else f'"{name}"'

    def type_of(self, name: str) -> str:
        """Look up its kind."""
        return TYPES[self.columns[name]]

    def change(self, statement: str, *parameters: str) -> None:
        """Execute the statement."""
        self._begin()
        self._opened.execute(statement.replace("?", "%s"), parameters)

    def _begin(self) -> None:
        if not self._in_transaction:
            self._opened.execute("BEGIN")
            self._in_transaction = True

    def insert(self, rows: Rows) -> None:
        """COPY rows to the temporary table."""
        connection = self._opened
        self._begin()
        if not self._is_staged:
            self._is_staged = True
            # One table for all transactions: each table costs a row of the catalogue per column.
            connection.execute(
                f"CREATE TEMPORARY TABLE IF NOT EXISTS {STAGE} (LIKE {RESULTS}) ON COMMIT DELETE ROWS"
            )
        copying = f"COPY {STAGE} ({quoted(self.columns)}) FROM STDIN"
        with connection.cursor() as cursor, cursor.copy(copying) as copy:
            for row in values(rows, self.columns):
                copy.write_row([_without_nul(value) for value in row])

    def commit(self) -> None:
        """Move the rows to their table; they replace rows with the same index."""
        if self._is_staged:
            replaced = ", ".join(f'"{name}" = excluded."{name}"' for name in self.columns if name != "index")
            self._opened.execute(UPSERT + replaced)
        self._opened.execute("COMMIT")
        self._in_transaction = self._is_staged = False

    def rollback(self) -> None:
        """Roll back."""
        if self._in_transaction:
            self._in_transaction = self._is_staged = False
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
    """Return a value that PostgreSQL can store: a URL with a NUL is an input error, but still has a row."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value
