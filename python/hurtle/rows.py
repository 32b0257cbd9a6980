"""Rows of the result table, as those who write them take them: what any of them can be asked."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from hurtle._engine import Batch, Response

Pieces: TypeAlias = Sequence[tuple["Batch", Sequence[int] | None]]
"""Batches of the engine, each with the places of the wanted rows in it; None: all of them."""


class Exchange(Protocol):
    """One request and its response as they went over the wire; HTTP/2 is written in HTTP/1.1 form."""

    @property
    def url(self) -> str:
        """The requested URL."""

    @property
    def started_us(self) -> int:
        """Start, in microseconds since 1970-01-01 UTC."""

    @property
    def remote_ip(self) -> str | None:
        """The peer's address."""

    @property
    def http_version(self) -> str:
        """HTTP version of the response: "1.0", "1.1" or "2"."""

    @property
    def request(self) -> bytes:
        """Head and body as sent."""

    @property
    def response(self) -> bytes:
        """Head and body as received, with their framing and content codings, without interim responses."""

    @property
    def body_at(self) -> int:
        """Where the body begins in `response`."""

    @property
    def truncated(self) -> str | None:
        """Why the body is a prefix: "length", "time" or "disconnect"."""


class Rows(Protocol):
    """Rows of the result table, in one of three forms."""

    @property
    def nbytes(self) -> int:
        """Approximate memory of the rows, in bytes."""

    @property
    def file_bytes(self) -> int:
        """The length of all bodies that are on the disk already, in bytes."""

    @property
    def unrepeatable(self) -> int:
        """How many rows belong to requests that were sent and must not be sent again."""

    def __len__(self) -> int: ...
    def __iter__(self) -> "Iterator[Response]": ...
    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]: ...
    def to_jsonl(self, *, bodies: bool = True) -> bytes:
        """Return the rows as JSON lines; without `bodies` every body is null."""

    def indexes(self) -> list[int]:
        """Return the rows' positions in the input."""

    def failures(self) -> list[int]:
        """Return the positions in the input of the rows that are not ok."""

    def exchanges(self) -> Sequence[tuple[Exchange, ...]]:
        """Return, for each row, what went over the wire in its last attempt, redirects first.

        The tuples are empty for rows without a response, and unless the job records exchanges.
        """

    def pieces(self) -> Pieces | None:
        """Return the engine's batches that have the rows; None: they are not in such batches."""

    def added(self) -> Mapping[str, Sequence[object]]:
        """Return the columns behind those of the result table: a value for each row."""

    def without_body(self) -> Sequence[bool] | None:
        """Return which rows have no body, whatever the engine's batches have; None: no more than there."""


class WrappedRows:
    """Delegates to other rows, except for what a subclass overrides.

    Args:
        rows: The rows as they arrived.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._rows)

    def __iter__(self) -> "Iterator[Response]":
        """Yield the responses."""
        return iter(self._rows)

    @property
    def nbytes(self) -> int:
        """Approximate memory of the rows, in bytes."""
        return self._rows.nbytes

    @property
    def file_bytes(self) -> int:
        """The length of all bodies that are on the disk already, in bytes."""
        return self._rows.file_bytes

    @property
    def unrepeatable(self) -> int:
        """How many rows belong to requests that were sent and must not be sent again."""
        return self._rows.unrepeatable

    def indexes(self) -> list[int]:
        """Return the rows' positions in the input."""
        return self._rows.indexes()

    def failures(self) -> list[int]:
        """Return the positions in the input of the rows that are not ok."""
        return self._rows.failures()

    def exchanges(self) -> Sequence[tuple[Exchange, ...]]:
        """Return, for each row, what went over the wire in its last attempt, redirects first."""
        return self._rows.exchanges()

    def pieces(self) -> Pieces | None:
        """Return the engine's batches that have the rows; None: they are not in such batches."""
        return self._rows.pieces()

    def added(self) -> Mapping[str, Sequence[object]]:
        """Return the columns behind those of the result table: a value for each row."""
        return self._rows.added()

    def without_body(self) -> Sequence[bool] | None:
        """Return which rows have no body, whatever the engine's batches have; None: no more than there."""
        return self._rows.without_body()
