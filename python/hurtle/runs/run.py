"""A run as a reader finds it: what is committed, the newest row of each request."""

from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hurtle.errors import ConfigError
from hurtle.journal import Done, Span
from hurtle.runs.lines import StoredRow
from hurtle.runs.stored import Stored, arrow, batches_with, batches_without, table_schema, without
from hurtle.runs.where import Where


@dataclass(frozen=True, slots=True)
class Part:
    """A file of rows, and those of its rows that a later file has anew.

    Attributes:
        stored: The file.
        rows: How many rows it holds; None: to be counted.
        superseded: The positions of rows that are not shown, ascending.
    """

    stored: Stored
    rows: int | None
    superseded: Sequence[int] = ()

    def hidden(self) -> Collection[int]:
        """Return what is not shown, to be looked up while the part is read."""
        return frozenset(self.superseded)


class Run:
    """The rows of a run. Iterate for dicts by column; any library that speaks Arrow reads it as a table.

    Rows come in the order in which they were written. Every reading reads the files anew, in bounded memory,
    and sees what was committed when the run was opened.

    Args:
        name: What the caller called it.
        parts: Its files.
        complete: Whether every request of the input has its row; None: nobody recorded it.
    """

    def __init__(self, name: str, parts: Sequence[Part], complete: bool | None) -> None:
        self._name = name
        self._parts = parts
        self._complete = complete
        self._failed: int | None = None

    @property
    def complete(self) -> bool | None:
        """Whether every request of the input has its row, and no retry is under way.

        None: nobody recorded it, as of JSON lines that may have come through a pipe.
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
            columns: Those that are wanted, `index` among them; None: all.
        """
        for part in self._parts:
            yield from without(part.stored.rows(columns), part.hidden())

    def where(self, expression: str) -> list[int]:
        """Return the positions of the rows of which an SQL expression is true, in the order of the rows.

        Args:
            expression: See `Where`.

        Raises:
            ConfigError: It is no expression over the scalar columns.
        """
        with Where(expression) as where:
            return [index for chunk in self.chunks(where.columns) for index in where.picked(chunk)]

    def select(self, expression: str) -> Iterator[StoredRow]:
        """Yield the rows of which an SQL expression is true, as dicts by column.

        Raises:
            ConfigError: It is no expression over the scalar columns.
        """
        with Where(expression) as where:
            for chunk in self.chunks():
                picked = frozenset(where.picked(chunk))
                yield from (row for row in chunk if row["index"] in picked)

    def schema(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Return the columns, as a `pyarrow.Schema`."""
        return self._parts[0].stored.schema() if self._parts else table_schema()

    def batches(self, expression: str | None = None) -> Iterator[Any]:
        """Yield the rows as `pyarrow.RecordBatch`es.

        Args:
            expression: Only those of which it is true; see `Where`.

        Raises:
            ConfigError: It is no expression over the scalar columns.
            MissingExtraError: pyarrow is not installed.
        """
        batches = (
            batch for part in self._parts for batch in batches_without(part.stored.batches(), part.hidden())
        )
        return batches if expression is None else _picked(batches, expression)

    def to_arrow(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Return all rows in input order, as a `pyarrow.Table`; they are in memory then.

        Raises:
            MissingExtraError: pyarrow is not installed.
        """
        table = arrow("to_arrow()").Table.from_batches(self.batches(), schema=self.schema())
        return table.sort_by("index")

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the rows as a stream of Arrow record batches, read as they are taken."""
        reader = arrow("reading a run as Arrow").RecordBatchReader.from_batches(self.schema(), self.batches())
        return reader.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        """Show what it is."""
        state = {True: "complete", False: "not complete", None: "rows"}[self._complete]
        return f"<Run {self._name!r}: {state}>"


def superseded(spans: Sequence[Iterable[Span]], first_again: int) -> tuple[list[Sequence[int]], Done]:
    """Find the rows of each part that a later one has anew.

    Args:
        spans: The positions of each part's rows, in the order of the journal.
        first_again: The first part that a retry may have written: no earlier one repeats a position.

    Returns:
        The positions not to show of each part, ascending, 8 bytes each; and those that a retry wrote.
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
            wanted = where.picked(batch.select(where.columns).to_pylist())
            yield from batches_with([batch], wanted)


def _each(spans: Iterable[Span]) -> Iterator[int]:
    return (index for first, last in spans for index in range(first, last + 1))


def refuse_unknown(format: str, known: Iterable[str], shown: str) -> None:  # noqa: A002 - the public name
    """Say what cannot be read back.

    Raises:
        ConfigError: The format is none of the known ones.
    """
    if format not in known:
        raise ConfigError(
            f"{shown} is written as {format}; what can be read back so far is {', '.join(known)}",
            option="out",
        )
