"""Selects rows by an SQL expression over scalar columns, evaluated by SQLite in memory, chunk by chunk."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from hurtle.errors import ConfigError
from hurtle.formats.row_json import instant_text
from hurtle.formats.table import APART_COLUMNS, COLUMNS, REFRESH_COLUMNS

_KINDS = COLUMNS | REFRESH_COLUMNS | APART_COLUMNS
SCALARS = tuple(name for name, kind in _KINDS.items() if kind not in ("json", "bytes") or name == "meta")
"""The columns that an expression may name: all but lists and bodies; null if a run lacks the column."""

_ROWS = ", ".join(f'"{name}"' for name in SCALARS)
_QUERY = 'SELECT "index" FROM rows WHERE (\n{}\n)'
_BARE = 'SELECT "index" FROM rows WHERE\n{}'
"""If a text is valid in both queries, it is one expression: nothing follows it, and its parentheses match."""

_HARMLESS = (sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION)


class Where:
    """An expression that selects rows. A context manager: it holds an empty database in memory.

    True and false are 1 and 0, `fetched_at` is ISO 8601 text, `meta` JSON text; `index` is an SQL keyword and
    needs double quotes. Null is not true.

    Args:
        expression: SQL for SQLite: what may follow WHERE, without subqueries.

    Raises:
        ConfigError: It is not such an expression; the message is SQLite's.

    Example:
        >>> with Where("status >= 500") as where:
        ...     where.picked([{"index": 0, "status": 200}, {"index": 1, "status": 503}])
        [1]
    """

    def __init__(self, expression: str) -> None:
        if not isinstance(expression, str):
            raise ConfigError(f"where={expression!r}: must be an SQL expression", option="where")
        self.expression = expression
        self._read: set[str] = set()
        self._selects = 0
        self._denied: str | None = None
        self._database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        try:
            self._database.execute(f"CREATE TABLE rows ({_ROWS})")
            self.picked([])
            self._judged(_BARE)
        except BaseException:
            self.close()
            raise

    @property
    def columns(self) -> list[str]:
        """The columns that the expression reads, and `index`."""
        return [name for name in SCALARS if name in self._read | {"index"}]

    def picked(self, rows: Iterable[Mapping[str, Any]]) -> list[int]:
        """Return the positions of the rows for which the expression is true.

        Raises:
            ConfigError: It cannot be evaluated, such as a function of invalid JSON; the message is SQLite's.
        """
        # Only the columns that the expression reads are inserted; the others stay null.
        names = self.columns
        columns, marks = ", ".join(f'"{name}"' for name in names), ", ".join("?" * len(names))
        values = ([_scalar(row.get(name)) for name in names] for row in rows)
        self._database.execute("DELETE FROM rows")
        with self._guarded():
            self._database.executemany(f"INSERT INTO rows ({columns}) VALUES ({marks})", values)
        return self._judged(_QUERY)

    def _judged(self, query: str) -> list[int]:
        with self._guarded():
            self._selects = 0
            self._database.set_authorizer(self._judge)
            return [index for (index,) in self._database.execute(query.format(self.expression))]

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            words = self._denied or str(error)
            if 'near "index"' in words:
                words += ' (index is an SQL keyword: write "index" in double quotes)'
            raise ConfigError(f"where {self.expression!r}: {words}", option="where") from error
        finally:
            self._database.set_authorizer(None)

    def _judge(self, action: int, first: str | None, second: str | None, *_: object) -> int:
        """Let SQLite read columns and call functions, nothing else. Called while it parses the expression."""
        if action == sqlite3.SQLITE_SELECT:
            self._selects += 1
            if self._selects > 1:
                self._denied = "an expression over the columns of one row cannot contain SELECT"
                return sqlite3.SQLITE_DENY
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and first == "rows" and second:
            self._read.add(second)
        if action not in _HARMLESS or "load_extension" in (first, second):
            self._denied = "only expressions over the columns are allowed"
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    def close(self) -> None:
        """Close the database. Idempotent."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _scalar(value: object) -> object:
    return instant_text(value) if isinstance(value, datetime) else value
