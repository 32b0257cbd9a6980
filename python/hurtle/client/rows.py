"""Rows as a sink takes them: a batch of the engine, or rows of several batches in input order."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from hurtle.client.reorder import Reorder, Window
from hurtle.models import IDEMPOTENT

if TYPE_CHECKING:
    from hurtle._engine import Batch, Response


class Rows(Protocol):
    """Rows of the result table, in one of three forms."""

    @property
    def nbytes(self) -> int:
        """Memory that they hold, about, in bytes."""

    @property
    def unrepeatable(self) -> int:
        """How many are of requests that were sent and must not be sent again."""

    def __len__(self) -> int: ...
    def __iter__(self) -> "Iterator[Response]": ...
    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]: ...
    def to_jsonl(self) -> bytes:
        """Return the rows as JSON lines."""

    def indexes(self) -> list[int]:
        """Return the rows' positions in the input."""


class _Part:
    """A batch, turned into lines or columns once, however often rows are taken from it."""

    __slots__ = ("_batch", "_columns", "_lines")

    def __init__(self, batch: "Batch") -> None:
        self._batch = batch
        self._lines: list[bytes] | None = None
        self._columns: Any = None

    def lines(self) -> list[bytes]:
        if self._lines is None:
            self._lines = self._batch.to_jsonl().split(b"\n")
        return self._lines

    def columns(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        if self._columns is None:
            import pyarrow

            self._columns = pyarrow.record_batch(self._batch)
        return self._columns


class _Row:
    """One row: where it stands, and its response."""

    __slots__ = ("part", "position", "response")

    def __init__(self, part: _Part, position: int, response: "Response") -> None:
        self.part = part
        self.position = position
        self.response = response


class OrderedRows:
    """Rows out of several batches."""

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
        return sum(len(row.response.content) for row in self._rows)

    @property
    def unrepeatable(self) -> int:
        """How many are of requests that were sent and must not be sent again."""
        responses = (row.response for row in self._rows)
        return sum(one.attempts > 0 and one.method not in IDEMPOTENT for one in responses)

    def indexes(self) -> list[int]:
        """Return the rows' positions in the input."""
        return [row.response.index for row in self._rows]

    def to_jsonl(self) -> bytes:
        """Return the rows as JSON lines."""
        return b"".join(row.part.lines()[row.position] + b"\n" for row in self._rows)

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
    """Puts the rows of batches in input order, in the memory that the window allows."""

    def __init__(self, window: Window | None) -> None:
        self._reorder: Reorder[_Row] = Reorder(window)

    def pass_on(self, batch: "Batch") -> OrderedRows:
        """Take in a batch and return the rows that are due; there may be none."""
        part = _Part(batch)
        for position, response in enumerate(batch):
            self._reorder.hold(response, _Row(part, position, response))
        return OrderedRows(list(self._reorder.due()))

    def rest(self) -> OrderedRows:
        """Return the rows that are held yet; those before them never came."""
        return OrderedRows(self._reorder.rest())
