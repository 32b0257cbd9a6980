"""Rows for a sink: a batch of the engine, or rows of several batches in input order."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hurtle._engine import IDEMPOTENT_METHODS
from hurtle.client.reorder import Reorder, Window
from hurtle.rows import Exchange, Pieces

if TYPE_CHECKING:
    from hurtle._engine import Batch, Response


class _Part:
    """A batch, converted to lines or columns once, however often rows are taken from it."""

    __slots__ = ("_columns", "_exchanges", "_lines", "batch")

    def __init__(self, batch: "Batch") -> None:
        self.batch = batch
        self._lines: dict[bool, list[bytes]] = {}
        self._exchanges: Sequence[tuple[Exchange, ...]] | None = None
        self._columns: Any = None

    def lines(self, *, bodies: bool) -> list[bytes]:
        if bodies not in self._lines:
            self._lines[bodies] = self.batch.to_jsonl(bodies=bodies).split(b"\n")
        return self._lines[bodies]

    def exchanges(self) -> Sequence[tuple[Exchange, ...]]:
        if self._exchanges is None:
            self._exchanges = self.batch.exchanges()
        return self._exchanges

    def columns(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        if self._columns is None:
            import pyarrow

            self._columns = pyarrow.record_batch(self.batch)
        return self._columns


class _Row:
    """One row: its place in a batch, and its response."""

    __slots__ = ("part", "position", "response", "size")

    def __init__(self, part: _Part, position: int, response: "Response", size: int) -> None:
        self.part = part
        self.position = position
        self.response = response
        self.size = size


class OrderedRows:
    """Rows from several batches."""

    def __init__(self, rows: Sequence[_Row]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._rows)

    def __iter__(self) -> "Iterator[Response]":
        """Yield the responses."""
        return (row.response for row in self._rows)

    @property
    def nbytes(self) -> int:
        """Memory of their bodies, in bytes."""
        return sum(row.size for row in self._rows)

    @property
    def file_bytes(self) -> int:
        """The length of all bodies that are on the disk already, in bytes."""
        return sum(file.nbytes for row in self._rows if (file := row.response.body_file) is not None)

    @property
    def unrepeatable(self) -> int:
        """How many rows belong to requests that were sent and must not be sent again."""
        responses = (row.response for row in self._rows)
        return sum(one.attempts > 0 and one.method not in IDEMPOTENT_METHODS for one in responses)

    def indexes(self) -> list[int]:
        """Return the rows' positions in the input."""
        return [row.response.index for row in self._rows]

    def failures(self) -> list[int]:
        """Return the positions in the input of the rows that are not ok."""
        return [row.response.index for row in self._rows if not row.response.ok]

    def exchanges(self) -> list[tuple[Exchange, ...]]:
        """Return, for each row, what went over the wire in its last attempt, redirects first."""
        return [row.part.exchanges()[row.position] for row in self._rows]

    def to_jsonl(self, *, bodies: bool = True) -> bytes:
        """Return the rows as JSON lines; without `bodies` every body is null."""
        return b"".join(row.part.lines(bodies=bodies)[row.position] + b"\n" for row in self._rows)

    def pieces(self) -> Pieces:
        """Return the batches that have the rows, each with the places of those that follow each other."""
        found: list[tuple[Batch, list[int]]] = []
        last: _Part | None = None
        for row in self._rows:
            if row.part is not last:
                found.append((row.part.batch, []))
                last = row.part
            found[-1][1].append(row.position)
        return found

    def added(self) -> dict[str, Sequence[object]]:
        """Return no columns: these are the rows as they arrived."""
        return {}

    def without_body(self) -> None:
        """Return None: these are the rows as they arrived."""

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """Return the rows as columns."""
        import pyarrow

        starts: dict[_Part, int] = {}
        length = 0
        for row in self._rows:
            if row.part not in starts:
                starts[row.part] = length
                length += row.part.columns().num_rows
        table = pyarrow.Table.from_batches([part.columns() for part in starts])
        wanted = [starts[row.part] + row.position for row in self._rows]
        (whole,) = table.take(wanted).combine_chunks().to_batches()
        columns: tuple[object, object] = whole.__arrow_c_array__(requested_schema)
        return columns


class RowReorder:
    """Puts the rows of batches in input order, in the memory that the window allows.

    Args:
        window: How far rows are submitted ahead.
        start: Position of the first row; those before it are done.
    """

    def __init__(self, window: Window | None, start: int = 0) -> None:
        self._reorder: Reorder[_Row] = Reorder(window, start)

    def pass_on(self, batch: "Batch") -> OrderedRows:
        """Add a batch and return the rows that are due; there may be none."""
        part = _Part(batch)
        for position, (response, size) in enumerate(zip(batch, batch.body_sizes(), strict=True)):
            self._reorder.hold(response.index, _Row(part, position, response, size), size)
        return OrderedRows(list(self._reorder.due()))

    def rest(self) -> OrderedRows:
        """Return the rows still held; earlier rows never arrived."""
        return OrderedRows(self._reorder.rest())
