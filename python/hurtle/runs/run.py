"""A run as a reader sees it: the committed rows, the newest one for each request."""

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

from hurtle.formats.columns import arrow, batches_with, batches_without, fitted, rows_of, table_schema
from hurtle.formats.row_json import StoredRow, line_of
from hurtle.formats.stored import StoredRows, without
from hurtle.formats.table import BODY_ENCODING
from hurtle.positions import Done, Span
from hurtle.runs.plain import DECODED_AT_MOST, plain_batches, plain_body, plain_lines, plain_rows
from hurtle.runs.where import Where

BodyOf: TypeAlias = Callable[[StoredRow], bytes | None]
"""Returns the body of a row, wherever the row's run stores it."""

FoundBy: TypeAlias = Callable[[StoredRow], tuple[StoredRow, bytes | None]]
"""Returns the row of an earlier run that a row refers to, and its body."""

NOT_MODIFIED = 304
"""The status of an answer without a body to a conditional request. Source: RFC 9110, section 15.4.5."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file or table of rows, and which of them a later file supersedes.

    Attributes:
        stored: The file, or the table.
        rows: How many rows it has; None: to be counted.
        superseded: The positions of rows that are not shown, ascending.
    """

    stored: StoredRows
    rows: int | None
    superseded: Sequence[int] = ()

    def hidden(self) -> Done:
        """Return the positions that are not shown, for look-ups while the part is read."""
        return Done((position, position) for position in self.superseded)


class Run:
    """The rows of a run. Iterate for dicts by column; any library that speaks Arrow reads it as a table.

    Rows are in the order in which they were written. Each iteration reads the output again, in bounded
    memory, and sees what was committed when the run was opened; for a database, what is committed when it
    starts.

    Args:
        name: The caller's name for it.
        parts: Its files, or its table.
        complete: Whether every request of the input has its row; None: not recorded.
    """

    def __init__(self, name: str, parts: Sequence[Part], complete: bool | None) -> None:
        self._name = name
        self._parts = parts
        self._complete = complete
        self._failed: int | None = None
        self._open_referred: Callable[[str], FoundBy] | None = None
        self._referred: dict[str, FoundBy] = {}
        self._most = DECODED_AT_MOST

    def referring(self, open_referred: Callable[[str], FoundBy]) -> Self:
        """Let `body` find bodies in earlier runs.

        Args:
            open_referred: Opens an earlier run, by the name that rows have for it. Called once for each name.
        """
        self._open_referred = open_referred
        return self

    def decoding(self, most: int) -> Self:
        """Let a body that is kept under its content codings have so many bytes without them."""
        self._most = most
        return self

    @property
    def parts(self) -> Sequence[Part]:
        """Its files, or its table."""
        return self._parts

    @property
    def complete(self) -> bool | None:
        """Whether every request of the input has its row, and no retry is in progress.

        None: not recorded, as for JSON lines that may come from a pipe.
        """
        return self._complete

    @property
    def rows(self) -> int:
        """How many requests have a row."""
        return sum(
            (part.stored.count() if part.rows is None else part.rows) - len(part.superseded)
            for part in self._parts
        )

    @property
    def failed(self) -> int:
        """How many of them are not ok; counted at the first call."""
        if self._failed is None:
            self._failed = sum(not row["ok"] for chunk in self.chunks(("index", "ok")) for row in chunk)
        return self._failed

    def __iter__(self) -> Iterator[StoredRow]:
        """Yield each row as a dict by column."""
        return (row for chunk in self.chunks() for row in chunk)

    def chunks(self, columns: Collection[str] | None = None) -> Iterator[list[StoredRow]]:
        """Yield rows as lists of dicts, some hundreds at a time.

        Args:
            columns: The wanted columns, including `index`; None: all.
        """
        if columns is not None and "body" in columns:
            columns = {*columns, BODY_ENCODING}
        for part in self._parts:
            rows = without(part.stored.rows(columns), part.hidden())
            yield from rows if columns is not None and "body" not in columns else plain_rows(rows, self._most)

    def where(self, expression: str) -> list[int]:
        """Return the positions of the rows for which an SQL expression is true, in the order of the rows.

        Args:
            expression: See `Where`.

        Raises:
            ConfigError: It is not an expression over the scalar columns.
        """
        with Where(expression) as where:
            return [index for chunk in self.chunks(where.columns) for index in where.picked(chunk)]

    def select(self, expression: str) -> Iterator[StoredRow]:
        """Yield the rows for which an SQL expression is true, as dicts by column.

        Raises:
            ConfigError: It is not an expression over the scalar columns.
        """
        return (row for chunk in self._selected(expression) for row in chunk)

    def _selected(self, expression: str) -> Iterator[list[StoredRow]]:
        with Where(expression) as where:
            for chunk in self.chunks():
                picked = frozenset(where.picked(chunk))
                if rows := [row for row in chunk if row["index"] in picked]:
                    yield rows

    def lines(self, expression: str | None = None) -> Iterator[bytes]:
        """Yield the rows as JSON lines, many at a time; nothing in them can control a terminal.

        If the output has JSON lines and all rows are wanted, the lines are passed on as they are.

        Args:
            expression: Only rows for which it is true; see `Where`.

        Raises:
            ConfigError: It is not an expression over the scalar columns.
        """
        if expression is not None:
            return (b"".join(map(line_of, chunk)) for chunk in self._selected(expression))
        return plain_lines(self.stored_lines(), self._most)

    def stored_lines(self) -> Iterator[bytes]:
        """Yield the rows as JSON lines, with their bodies as stored; see `lines`."""
        return (lines for part in self._parts for lines in part.stored.lines(part.hidden()))

    def body(self, row: StoredRow) -> bytes | None:
        """Return the body of one of the rows: from the row, or the file or the earlier run that it names.

        An earlier run is opened at the first row that refers to it (`body_run`), and stays open. That takes
        24 bytes of memory for each of its rows, and the piece that was read last. Not thread-safe.

        Args:
            row: A row of this run.

        Returns:
            The body; None if there was none, or the output has no bodies.

        Raises:
            JournalError: The file or the run that the row names is gone, or has changed; or the body is kept
                under content codings, and cannot be decoded.
            MissingExtraError: The format of the earlier run needs an optional package.
        """
        return self._holder(row)[1]

    def text(self, row: StoredRow) -> str | None:
        """Return the body of one of the rows as text, as `Response.text` reads it.

        Args:
            row: A row of this run.

        Returns:
            The text; None if `body` returns None.

        Raises:
            JournalError, MissingExtraError: As `body`.
        """
        from hurtle._engine import body_text

        # An answer without a body mostly has no Content-Type either.
        holder, body = self._holder(row)
        return None if body is None else body_text(body, holder["content_type"])

    def _holder(self, row: StoredRow) -> tuple[StoredRow, bytes | None]:
        """Return the row that has the body of one of the rows, and the body."""
        own, name = self.own_body(row), row.get("body_run")
        # An archive has every response: a 200 is complete there, although the row refers to an equal body.
        if name is None or self._open_referred is None or (own is not None and row["status"] != NOT_MODIFIED):
            return row, own
        if (referred := self._referred.get(name)) is None:
            referred = self._referred[name] = self._open_referred(name)
        return referred(row)

    def own_body(self, row: StoredRow) -> bytes | None:
        """Return the row's body if this run itself has it; see `body`."""
        named = (part.stored for part in self._parts if part.stored.is_named(row))
        stored = next(named, None)
        return None if stored is None else plain_body(row, stored.body(row), self._most)

    def schema(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Return the columns of all files, as a `pyarrow.Schema`."""
        if not self._parts:
            return table_schema()
        schemas = [part.stored.schema().remove_metadata() for part in self._parts]
        return arrow("reading as Arrow").unify_schemas(schemas)

    def batches(self, expression: str | None = None) -> Iterator[Any]:
        """Yield the rows as `pyarrow.RecordBatch`es.

        Args:
            expression: Only rows for which it is true; see `Where`.

        Raises:
            ConfigError: It is not an expression over the scalar columns.
            MissingExtraError: pyarrow is not installed.
        """
        schema = self.schema()
        batches = (
            fitted(batch, schema)
            for part in self._parts
            for batch in batches_without(part.stored.batches(), part.hidden())
        )
        return plain_batches(batches if expression is None else _picked(batches, expression), self._most)

    def to_arrow(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Return all rows in input order, as a `pyarrow.Table` in memory.

        Raises:
            MissingExtraError: pyarrow is not installed.
        """
        table = arrow("to_arrow()").Table.from_batches(self.batches(), schema=self.schema())
        return table.sort_by("index")

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the rows as a stream of Arrow record batches, read on demand."""
        reader = arrow("reading a run as Arrow").RecordBatchReader.from_batches(self.schema(), self.batches())
        return reader.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        """Show the name and the state."""
        state = {True: "complete", False: "not complete", None: "rows"}[self._complete]
        return f"<Run {self._name!r}: {state}>"


def superseded(spans: Sequence[Iterable[Span]], first_again: int) -> tuple[list[Sequence[int]], Done]:
    """Find the rows of each part that a later part supersedes.

    Args:
        spans: The positions of each part's rows, in the order of the journal.
        first_again: The first part that a retry may have written: no earlier part repeats a position.

    Returns:
        For each part the positions not to show, ascending, 8 bytes each; and those that a retry wrote.
    """
    seen = Done()
    hidden: list[Sequence[int]] = []
    for number in range(len(spans) - 1, -1, -1):
        again = array("q", (index for index in _each(spans[number]) if index in seen) if seen else ())
        hidden.append(again)
        if number >= first_again:
            for index in _each(spans[number]):
                seen.add(index)
    return hidden[::-1], seen


def _picked(batches: Iterable[Any], expression: str) -> Iterator[Any]:
    with Where(expression) as where:
        for batch in batches:
            known = [name for name in where.columns if name in batch.schema.names]
            wanted = where.picked(rows_of(batch.select(known)))
            yield from batches_with([batch], wanted)


def _each(spans: Iterable[Span]) -> Iterator[int]:
    return (index for first, last in spans for index in range(first, last + 1))
