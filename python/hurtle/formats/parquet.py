"""The result table as Parquet: the engine writes row groups of bounded size, and reads them."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hurtle import checks
from hurtle.errors import ConfigError, SinkError
from hurtle.formats.base import Format, Newest, reading_back
from hurtle.formats.columns import arrow, fitted, kind_of, table_schema, with_later
from hurtle.formats.row_json import StoredRow
from hurtle.formats.stored import CHUNK_BYTES, CHUNK_ROWS, LOOKED_UP, Finder, InOrder, Stored
from hurtle.formats.table import COLUMNS, REQUIRED
from hurtle.formats.writer import OutputFile, Writer
from hurtle.rows import Rows
from hurtle.stops import stops_held

if TYPE_CHECKING:
    from hurtle._engine import ParquetFile, ParquetReader

MARK = b"PAR1"
"""What a file begins with. Source: https://parquet.apache.org/docs/file-format/"""

GROUP_ROWS = 65_536
GROUP_BYTES = 8 << 20
"""A row group is written at this many rows or bytes, which are in memory here, and later in a reader."""


COMPRESSION = "zstd:1"
"""How pages are compressed, unless the caller says otherwise: faster ones save little time and cost space."""

CODECS = ("lz4", "snappy", "none")
ZSTD_LEVELS = range(1, 23)


def compression_of(given: str) -> str:
    """Return the name of a compression in the form that the engine takes.

    Raises:
        ConfigError: There is no such compression.

    Example:
        >>> compression_of("zstd"), compression_of("zstd:19"), compression_of("lz4")
        ('zstd:1', 'zstd:19', 'lz4')
    """
    codec, mark, level = given.partition(":") if isinstance(given, str) else ("", "", "")
    if codec == "zstd" and not mark:
        return COMPRESSION
    if codec == "zstd" and level.isascii() and level.isdigit() and int(level) in ZSTD_LEVELS:
        return f"zstd:{int(level)}"
    if codec in CODECS and not mark:
        return codec
    raise checks.wrong(
        "compression", given, '"zstd", "zstd:1" to "zstd:22", "lz4", "snappy" or "none" for Parquet'
    )


class ParquetWriter(Writer):
    """Collects rows into row groups.

    Args:
        path: A file. A Parquet file is read from its end, so it cannot be stdout.
        compression: As `compression_of` returns it.
    """

    def __init__(self, path: str, compression: str = COMPRESSION) -> None:
        if path == "-":
            raise ConfigError("Parquet cannot be written to stdout; name a file", option="out")
        self._output = OutputFile(path)
        self._compression = compression
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

            columns = [(name, kind_of(name), name not in REQUIRED) for name in added]
            self._encoder = ParquetFile(columns, self._compression)
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

    def _put(self, pieces: Sequence[memoryview]) -> None:
        assert self._file is not None
        try:
            for piece in pieces:
                self._file.write(piece)
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
def _reading(part: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise SinkError(f"{part} cannot be read back: {error}") from error


class StoredParquet(Stored):
    """A Parquet file, with its own columns and types."""

    def count(self) -> int:
        """Read the footer."""
        with self._reading():
            return sum(_reader(self.path).groups)

    def rows(self, columns: Collection[str] | None = None) -> Iterator[list[StoredRow]]:
        """Yield the rows, in chunks of one row group each."""
        return self._rows(columns, 0)

    def _rows(self, columns: Collection[str] | None, group: int) -> Iterator[list[StoredRow]]:
        with self._reading():
            reader = _reader(self.path)
            names = reader.names
            wanted = with_later(names) if columns is None else [name for name in names if name in columns]
            yield from reader.rows(wanted, group)

    def batches(self) -> Iterator[Any]:
        """Yield the rows as columns."""
        pyarrow = arrow(f"{self.path}: reading it as Arrow")
        with self._reading():
            reader = _reader(self.path)
            found = pyarrow.schema(reader)
            grown = _grown(found)
            for batch in pyarrow.RecordBatchReader.from_stream(reader):
                yield batch if grown is found else fitted(batch, grown)

    def schema(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Read the footer."""
        pyarrow = arrow(f"{self.path}: reading it as Arrow")
        with self._reading():
            return _grown(pyarrow.schema(_reader(self.path)))

    def finder(self) -> Finder:
        """Return an object that looks up rows from the beginning of their row group on."""
        with self._reading():
            ends = accumulate(_reader(self.path).groups)
        return InGroups(self, [0, *ends])

    def rows_of_groups(self, group: int) -> Iterator[list[StoredRow]]:
        """Yield rows for look-ups, from a row group on."""
        return self._rows(LOOKED_UP, group)


class InGroups(InOrder):
    """Looks up rows in row groups: reads on, and starts over at the row group of a row that is not near.

    Args:
        stored: The file.
        starts: The number of the first row of each group, and of all rows.
    """

    def __init__(self, stored: StoredParquet, starts: Sequence[int]) -> None:
        self._parquet = stored
        self._starts = starts
        super().__init__(stored)

    def start_of(self, place: int) -> int:
        """Return where the row group of a row begins."""
        return self._starts[bisect_right(self._starts, place, hi=max(1, len(self._starts) - 1)) - 1]

    def rows_from(self, start: int) -> Iterator[list[StoredRow]]:
        """Read from the row group that begins there."""
        return self._parquet.rows_of_groups(bisect_left(self._starts, start))


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
    """Parquet. Neither writing nor reading needs another package."""

    marks = (MARK,)
    stored = StoredParquet
    has_footer = True

    def __init__(self, name: str, extensions: tuple[str, ...], compression: str = COMPRESSION) -> None:
        super().__init__(name, extensions)
        self._compression = compression

    def compressed(self, compression: str) -> Format:
        """Return the format with another compression of its pages."""
        return Parquet(self.name, self.extensions, compression_of(compression))

    def writer(self, path: str) -> Writer:
        """Return a writer of row groups."""
        return ParquetWriter(path, self._compression)

    def count(self, path: Path) -> int:
        """Read the footer."""
        with reading_back(path):
            return sum(_reader(path).groups)

    def join(self, parts: Sequence[Path], out: str) -> None:
        """Copy row group by row group, as they are encoded."""
        _copied([(part, b"") for part in parts], out, self._compression)

    def write_newest(self, newest: Newest, out: str) -> None:
        """Copy row group by row group; those of which all rows are wanted as they are encoded."""
        parts = [(part.stored, part.hidden().bits) for part in newest.parts]
        found = [(stored.path, hidden) for stored, hidden in parts if isinstance(stored, Stored)]
        _copied(found, out, self._compression)


def _copied(parts: Sequence[tuple[Path, bytes]], out: str, compression: str) -> None:
    """Write a file with the rows of others.

    Args:
        parts: The files, each with the positions of the rows to leave out, as `Done.bits`.
        out: The file.
        compression: How to compress rows that cannot be copied as they are encoded.
    """
    from hurtle._engine import ParquetFile

    # Parts written by an earlier version have fewer columns.
    widest, columns = None, 0
    for part, _ in parts:
        with _reading(part):
            if (found := len(_reader(part).names)) > columns:
                widest, columns = part, found
    if widest is None:
        copied = ParquetFile([], compression)
    else:
        with _reading(widest):
            copied = ParquetFile.like(widest, compression)
    with OutputFile(out).writing() as file:
        for part, hidden in parts:
            with _reading(part):
                groups = len(_reader(part).groups)
            for number in range(groups):
                with _reading(part):
                    data = copied.copy(part, number, hidden)
                for piece in data:
                    file.write(piece)
        for piece in copied.finish():
            file.write(piece)


def _reader(path: Path) -> "ParquetReader":
    from hurtle._engine import ParquetReader

    return ParquetReader(path, CHUNK_ROWS, CHUNK_BYTES)
