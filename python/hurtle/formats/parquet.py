"""The result table as Parquet: written by the engine in row groups of bounded size, read by pyarrow."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hurtle.errors import ConfigError, JournalError, SinkError
from hurtle.formats.base import Format, Newest, reading_back
from hurtle.formats.columns import arrow, fitted, kind_of, rows_of, table_schema, with_later
from hurtle.formats.row_json import StoredRow
from hurtle.formats.stored import CHUNK_ROWS, Finder, Stored
from hurtle.formats.table import COLUMNS, REQUIRED
from hurtle.formats.writer import OutputFile, Writer
from hurtle.rows import Rows
from hurtle.stops import stops_held

if TYPE_CHECKING:
    from hurtle._engine import ParquetFile

MARK = b"PAR1"
"""What a file begins with. Source: https://parquet.apache.org/docs/file-format/"""

GROUP_ROWS = 65_536
GROUP_BYTES = 8 << 20
"""A row group is written at this many rows or bytes, which are in memory here, and later in a reader."""


class ParquetWriter(Writer):
    """Collects rows into row groups.

    Args:
        path: A file. A Parquet file is read from its end, so it cannot be stdout.
    """

    def __init__(self, path: str) -> None:
        if path == "-":
            raise ConfigError("Parquet cannot be written to stdout; name a file", option="out")
        self._output = OutputFile(path)
        self._file: IO[bytes] | None = None
        self._encoder: ParquetFile | None = None
        self._others: list[Any] = []
        self._rows = 0
        self._bytes = 0
        self._whole = True

    def open(self) -> None:
        """Open the file."""
        self._file = self._output.open()

    def write(self, rows: Rows) -> None:
        """Take rows; write a row group when there are enough."""
        if self._file is None:
            raise ValueError("the file is not open")
        if not self._whole:
            raise self._output.broken_off()
        with stops_held():
            pieces = rows.pieces()
            if pieces is None:
                self._add_others(rows)
            else:
                if self._others:
                    self.flush()
                added, without_body, end = rows.added(), rows.without_body(), 0
                encoder = self._begun(added)
                for batch, places in pieces:
                    end = encoder.append(batch, places, added, without_body, end)
            self._rows += len(rows)
            self._bytes += rows.nbytes
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self.flush()

    def _add_others(self, rows: Rows) -> None:
        """Take rows that are not in the engine's batches: an Arrow library passes them on."""
        batch = arrow("writing these rows as Parquet").record_batch(rows)
        if self._encoder is not None and len(self._encoder):
            self.flush()
        self._begun([name for name in batch.schema.names if name not in COLUMNS])
        self._others.append(batch if not self._others else batch.cast(self._others[0].schema))

    def _begun(self, added: Collection[str]) -> "ParquetFile":
        """Begin the file with the columns of its first rows: some kinds of run have more columns."""
        if self._encoder is None:
            from hurtle._engine import ParquetFile

            self._encoder = ParquetFile([(name, kind_of(name), name not in REQUIRED) for name in added])
        return self._encoder

    def flush(self) -> None:
        """Write the rows so far as a row group."""
        if self._encoder is None or not self._rows:
            return
        with stops_held():
            self._whole = False
            others, self._others = self._others, []
            self._put(self._encoder.write_stream(_stream_of(others)) if others else self._encoder.flush())
            self._rows, self._bytes = 0, 0
            self._whole = True

    def _put(self, data: bytes) -> None:
        assert self._file is not None
        try:
            self._file.write(data)
        except OSError as error:
            raise self._output.failure(error) from error

    def close(self) -> None:
        """Write the last row group and the footer, and put the file in place."""
        if self._file is None:
            return
        with stops_held():
            try:
                if not self._whole:
                    raise self._output.broken_off()
                self.flush()
                self._whole = False
                self._put(self._begun(()).finish())
            except BaseException:
                self.abort()
                raise
            self._encoder = self._file = None
            self._output.close()

    def abort(self) -> None:
        """Drop the file."""
        with stops_held():
            self._encoder, self._others, self._file = None, [], None
            self._output.abort()


def _stream_of(batches: Sequence[Any]) -> bytes:
    """Return batches of one schema as an Arrow IPC stream."""
    pyarrow = arrow("writing these rows as Parquet")
    out = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(out, batches[0].schema) as stream:
        for batch in batches:
            stream.write_batch(batch)
    data: bytes = out.getvalue().to_pybytes()
    return data


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file as a `pyarrow.parquet.ParquetFile`; a name with a colon is not taken for an address.

    Raises:
        OSError, ValueError: It cannot be read, or is not a Parquet file.
    """
    import pyarrow.parquet

    with pyarrow.OSFile(str(path)) as file, pyarrow.parquet.ParquetFile(file, pre_buffer=False) as found:
        yield found


@contextmanager
def _reading(part: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise SinkError(f"{part} cannot be read back: {error}") from error


class StoredParquet(Stored, Finder):
    """A Parquet file, with its own columns and types."""

    _group: tuple[int, Any] | None = None
    """The number of the first row, and the row group, of the last look-up."""

    def count(self) -> int:
        """Read the footer."""
        with self._reading():
            return sum(_footer(self.path)[0])

    def rows(self, columns: Collection[str] | None = None) -> Iterator[list[StoredRow]]:
        """Yield the rows of each group."""
        for batch in self._groups(columns):
            yield rows_of(batch)

    def batches(self) -> Iterator[Any]:
        """Yield each group."""
        return self._groups(None)

    def schema(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Read the footer."""
        with self._file() as file:
            return _grown(file.schema_arrow)

    def finder(self) -> Finder:
        """Return itself: a place leads straight to a row."""
        return self

    def places(self) -> Iterator[tuple[int, int]]:
        """Yield each row's position, and its number in the file."""
        rows = (row for chunk in self.rows(("index",)) for row in chunk)
        return ((row["index"], number) for number, row in enumerate(rows))

    def row_at(self, place: int) -> StoredRow:
        """Read the group that the row is in, and keep it for the next one."""
        if self._group is None or not 0 <= place - self._group[0] < self._group[1].num_rows:
            self._group = self._group_of(place)
        first, group = self._group
        (batch,) = group.slice(place - first, 1).combine_chunks().to_batches()
        return rows_of(batch)[0]

    def _group_of(self, place: int) -> tuple[int, Any]:
        first = 0
        with self._file() as file:
            for number in range(file.num_row_groups):
                rows = file.metadata.row_group(number).num_rows
                if place < first + rows:
                    return first, file.read_row_group(number, use_threads=False)
                first += rows
        raise JournalError(f"{self.path} has changed: row {place} is gone; open the run again")

    @contextmanager
    def _file(self) -> Iterator[Any]:
        arrow(f"{self.path}: reading Parquet", "pyarrow.parquet")
        try:
            with self._reading(), opened(self.path) as file:
                yield file
        finally:
            # Unless told otherwise, Arrow's own pool keeps the memory of what was read.
            arrow(f"{self.path}: reading Parquet").default_memory_pool().release_unused()

    def _groups(self, columns: Collection[str] | None) -> Iterator[Any]:
        with self._file() as file:
            found = file.schema_arrow
            known = None if columns is None else [name for name in found.names if name in columns]
            grown = _grown(found)
            is_whole = grown is found or known is not None
            # Threads read columns ahead, and `read_row_group` holds a whole group in pieces of its own.
            for batch in file.iter_batches(CHUNK_ROWS, columns=known, use_threads=False):
                yield batch if is_whole else fitted(batch, grown)


def _grown(schema: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return the columns of a file, with those that an earlier version did not write."""
    if len(names := with_later(schema.names)) == len(schema.names):
        return schema
    known = frozenset(schema.names)
    later = table_schema([name for name in names if name not in known])
    return arrow("reading Parquet").schema(
        [(schema if name in known else later).field(name) for name in names], schema.metadata
    )


class Parquet(Format):
    """Parquet. Writing needs no other package; reading rows needs pyarrow."""

    marks = (MARK,)
    stored = StoredParquet
    has_footer = True

    def writer(self, path: str) -> Writer:
        """Return a writer of row groups."""
        return ParquetWriter(path)

    def count(self, path: Path) -> int:
        """Read the footer."""
        with reading_back(path):
            return sum(_footer(path)[0])

    def join(self, parts: Sequence[Path], out: str) -> None:
        """Copy row group by row group, as they are encoded."""
        _copied([(part, b"") for part in parts], out)

    def write_newest(self, newest: Newest, out: str) -> None:
        """Copy row group by row group; those of which all rows are wanted as they are encoded."""
        parts = [(part.stored, part.hidden().bits) for part in newest.parts]
        _copied([(stored.path, hidden) for stored, hidden in parts if isinstance(stored, Stored)], out)


def _copied(parts: Sequence[tuple[Path, bytes]], out: str) -> None:
    """Write a file with the rows of others.

    Args:
        parts: The files, each with the positions of the rows to leave out, as `Done.bits`.
        out: The file.
    """
    from hurtle._engine import ParquetFile

    # Parts written by an earlier version have fewer columns.
    widest, columns = None, 0
    for part, _ in parts:
        with _reading(part):
            if (found := len(_footer(part)[1])) > columns:
                widest, columns = part, found
    if widest is None:
        copied = ParquetFile([])
    else:
        with _reading(widest):
            copied = ParquetFile.like(widest)
    with OutputFile(out).writing() as file:
        for part, hidden in parts:
            with _reading(part):
                groups = len(_footer(part)[0])
            for number in range(groups):
                with _reading(part):
                    data = copied.copy(part, number, hidden)
                file.write(data)
        file.write(copied.finish())


def _footer(path: Path) -> tuple[list[int], list[str]]:
    from hurtle._engine import parquet_footer

    return parquet_footer(path)
