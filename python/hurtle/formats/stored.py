"""Reads the rows of a run chunk by chunk: the base of all formats."""

import sys
import zlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Container, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from hurtle.errors import JournalError
from hurtle.formats.bodies import FOLDER, STATE
from hurtle.formats.columns import arrow, batch_of
from hurtle.formats.row_json import StoredRow, line_of

CHUNK_ROWS = 1_000

CHUNK_BYTES = 4 << 20
"""A chunk ends at this many rows or bytes, which reading holds in memory."""

LOOKED_UP = (
    "index", "method", "url", "status", "content_type", "fetched_at", "body_encoding", "body", "truncated",
    "body_path", "body_run",
)  # fmt: skip
"""The columns for a look-up: what identifies a row, and its body with its type."""

KEPT_CHUNKS = 4
"""Chunks kept in memory during look-ups, which are roughly in the order in which rows were written."""


def damage() -> tuple[type[Exception], ...]:
    """Return what reading a damaged compressed file raises, except for OSError."""
    if sys.version_info >= (3, 14):
        from compression import zstd

        return (EOFError, zlib.error, zstd.ZstdError)
    return (EOFError, zlib.error)


_DAMAGE: tuple[type[Exception], ...] = (ValueError, KeyError, TypeError, *damage())
"""What a reader raises if a file is damaged."""


class Finder(ABC):
    """Looks up rows one by one. Not thread-safe."""

    @abstractmethod
    def places(self) -> Iterator[tuple[int, int]]:
        """Yield each row's position in the input, and its place: what `row_at` takes."""

    @abstractmethod
    def row_at(self, place: int) -> StoredRow:
        """Return a row by its place, with what `StoredRows.body` needs and its content type.

        Raises:
            JournalError: The row is gone.
        """


class StoredRows(ABC):
    """Committed rows: all rows of a file or a table."""

    @abstractmethod
    def count(self) -> int:
        """Return how many rows there are."""

    @abstractmethod
    def rows(self, columns: Collection[str] | None = None) -> Iterator[list[StoredRow]]:
        """Yield rows, a chunk at a time.

        Args:
            columns: The wanted columns; None: all.
        """

    @abstractmethod
    def batches(self) -> Iterator[Any]:
        """Yield the rows as Arrow record batches of the schema."""

    @abstractmethod
    def schema(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Return the columns, as a `pyarrow.Schema`."""

    def lines(self, hidden: Container[int]) -> Iterator[bytes]:
        """Yield the rows as JSON lines that cannot control a terminal, many at a time.

        Args:
            hidden: Positions of rows to leave out.
        """
        for chunk in without(self.rows(), hidden):
            yield b"".join(map(line_of, chunk))

    def finder(self) -> "Finder":
        """Return an object that looks up rows one by one."""
        return InOrder(self)

    def body(self, row: StoredRow) -> bytes | None:
        """Return the body of one of the rows, wherever it is; None: it has none.

        Raises:
            JournalError: The body is gone.
        """
        body = row.get("body")
        return body if isinstance(body, bytes) else None

    def is_named(self, row: StoredRow) -> bool:
        """Whether `body` here can find the row's body: not if the row names another file of the same run."""
        del row
        return True


def read_body(holder: Path, name: str) -> bytes:
    """Return a body that a row names.

    Args:
        holder: The file that has the row.
        name: Its `body_path`.

    Raises:
        JournalError: The body is gone, or this is no name of one.
    """
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise JournalError(f"{holder} is damaged: {name!r} is not a file of this output")
    folder = holder.parent.parent if holder.parent.name == STATE else holder.parent
    path = folder / relative
    # A part of a run that will be one file has its bodies in its own folder until then.
    inside = holder.parent.joinpath(FOLDER, *relative.parts[1:])
    try:
        return (path if path.exists() else inside).read_bytes()
    except OSError as error:
        raise JournalError(f"{path} cannot be read: {error.strerror or error}") from error


class Stored(StoredRows):
    """A whole file of rows.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def file_of_body(cls, row: StoredRow) -> str | None:
        """Return the file of rows that contains a row's body outside the row; None: no file does.

        Args:
            row: A row, as read from a file of this kind.
        """
        del row
        return None

    def is_named(self, row: StoredRow) -> bool:
        """Whether the row's body is in this file, or in none."""
        return self.file_of_body(row) in (None, self.path.name)

    def body(self, row: StoredRow) -> bytes | None:
        """Return the body from the row, or from the file that the row names."""
        name = row.get("body_path")
        return super().body(row) if name is None else read_body(self.path, name)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise JournalError(
                f"{self.path} is gone: its run may have ended in the meantime; open the run again"
            ) from error
        except OSError as error:
            raise JournalError(f"{self.path} cannot be read: {error.strerror or error}") from error
        except _DAMAGE as error:
            raise JournalError(f"{self.path} is damaged: {error}") from error


class InOrder(Finder):
    """Looks up rows where reading must start at the beginning: reads on, and starts over for a row far back.

    Memory: KEPT_CHUNKS chunks. The place of a row is its number.

    Args:
        stored: The rows. They have no reference to this object, so its chunks are freed with it.
    """

    def __init__(self, stored: StoredRows) -> None:
        self._stored = stored
        self._begin(0)

    def _begin(self, start: int) -> None:
        self._chunks = self.rows_from(start)
        self._next = start
        self._kept: deque[tuple[int, list[StoredRow]]] = deque(maxlen=KEPT_CHUNKS)

    def start_of(self, place: int) -> int:
        """Return the last place, up to this one, where reading may begin."""
        del place
        return 0

    def rows_from(self, start: int) -> Iterator[list[StoredRow]]:
        """Yield rows from such a place on, with the columns for a look-up."""
        del start
        return self._stored.rows()

    def places(self) -> Iterator[tuple[int, int]]:
        """Yield each row's position, and its number."""
        rows = (row for chunk in self._stored.rows(("index",)) for row in chunk)
        return ((row["index"], number) for number, row in enumerate(rows))

    def row_at(self, place: int) -> StoredRow:
        """Return a row by its number."""
        for first, chunk in self._kept:
            if first <= place < first + len(chunk):
                return chunk[place - first]
        start = self.start_of(place)
        if place < self._next or self._next < start:
            self._begin(start)
        for chunk in self._chunks:
            first, self._next = self._next, self._next + len(chunk)
            self._kept.append((first, chunk))
            if place < self._next:
                return chunk[place - first]
        raise JournalError(f"row {place} is gone: the output has become shorter; open the run again")


def in_chunks(rows: Iterable[tuple[StoredRow, int]]) -> Iterator[list[StoredRow]]:
    """Group rows, each with its size in bytes, into chunks."""
    chunk: list[StoredRow] = []
    size = 0
    for row, row_bytes in rows:
        chunk.append(row)
        size += row_bytes
        if len(chunk) >= CHUNK_ROWS or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def without(rows: Iterable[list[StoredRow]], hidden: Container[int]) -> Iterator[list[StoredRow]]:
    """Leave out the rows at some positions."""
    for chunk in rows:
        if left := [row for row in chunk if row["index"] not in hidden] if hidden else chunk:
            yield left


class StoredText(Stored):
    """A file of lines."""

    def batches(self) -> Iterator[Any]:
        """Yield the rows as columns."""
        arrow(f"{self.path}: reading it as Arrow")
        schema = self.schema()
        for chunk in self.rows():
            with self._reading():
                batch = batch_of(chunk, schema)
            yield batch
