"""The result table as Parquet, by pyarrow: row groups of bounded size, zstd."""

from base64 import b64encode
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hurtle.errors import ConfigError, JournalError, MissingExtraError, SinkError
from hurtle.formats.base import Format, Newest, reading_back
from hurtle.formats.columns import arrow, fitted, table_schema, with_later
from hurtle.formats.row_json import StoredRow
from hurtle.formats.stored import CHUNK_ROWS, Finder, Stored
from hurtle.formats.table import arrow_schema_of
from hurtle.formats.writer import OutputFile, Writer
from hurtle.rows import Rows
from hurtle.stops import stops_held

if TYPE_CHECKING:
    from hurtle._engine import Columns

MARK = b"PAR1"
"""What a file begins with. Source: https://parquet.apache.org/docs/file-format/"""

GROUP_ROWS = 65_536
GROUP_BYTES = 8 << 20
"""A row group is written at this many rows or bytes, which are in memory here, and later in a reader.

Each one costs a millisecond or two, however small it is: it has thirty columns.
"""

FEW_VALUES = [
    "method", "status", "error", "http_version", "remote_ip", "content_type", "content_encoding", "truncated",
    "change", "body_run", "headers.list.element.name", "headers.list.element.value",
]  # fmt: skip
"""Columns worth a dictionary. A dictionary of bodies or URLs would be abandoned after a page anyway."""

WITH_BOUNDS = ["index", "status", "error", "attempts", "fetched_at", "t_total", "t_first_byte", "bytes_body"]
"""Columns with minimum and maximum in the footer, which let a reader skip row groups."""

FILE_OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": FEW_VALUES,
    "write_statistics": WITH_BOUNDS,
    "write_batch_size": 8192,
}
"""How files are written. The size of a page is checked every `write_batch_size` rows."""


class ParquetWriter(Writer):
    """Collects batches into row groups.

    Args:
        path: A file. A Parquet file is read from its end, so it cannot be stdout.
    """

    def __init__(self, path: str) -> None:
        if path == "-":
            raise ConfigError("Parquet cannot be written to stdout; name a file", option="out")
        self._output = OutputFile(path)
        self._arrow: Any = None
        self._file: IO[bytes] | None = None
        self._writer: Any = None
        self._columns = _no_columns()
        self._schema: Any = None
        self._batches: list[Any] = []
        self._rows = 0
        self._bytes = 0
        self._whole = True

    def open(self) -> None:
        """Open the file."""
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise MissingExtraError("parquet", "writing Parquet") from error
        self._arrow = pyarrow
        self._file = self._output.open()

    def write(self, rows: Rows) -> None:
        """Take rows as columns; write a row group when there are enough."""
        if self._file is None:
            raise ValueError("the file is not open")
        if not self._whole:
            raise self._output.broken_off()
        from hurtle._engine import Batch

        if isinstance(rows, Batch):
            self._columns.append(rows)
        else:
            self._end_columns()
            self._add(rows)
        self._rows += len(rows)
        self._bytes += rows.nbytes
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self.flush()

    def _end_columns(self) -> None:
        """Append the rows collected from the engine's batches to the rows so far."""
        if len(self._columns):
            with stops_held():
                self._add(self._columns)

    def _add(self, columns: "Columns | Rows") -> None:
        """Take columns, converted to the types of the first ones in the file."""
        batch = self._arrow.record_batch(columns)
        if self._schema is None:
            self._schema = batch.schema
        self._batches.append(batch if batch.schema == self._schema else batch.cast(self._schema))

    def flush(self) -> None:
        """Write the rows so far as a row group."""
        self._end_columns()
        if not self._batches:
            return
        with stops_held():
            self._whole = False
            # Writing a column in one piece saves more than it costs to join a hundred pieces first.
            table = self._arrow.Table.from_batches(self._batches).combine_chunks()
            try:
                if self._writer is None:
                    self._writer = self._begun(self._schema)
                self._writer.write_table(table, row_group_size=GROUP_ROWS)
            except OSError as error:
                raise self._output.failure(error) from error
            self._batches, self._rows, self._bytes = [], 0, 0
            self._whole = True

    def _begun(self, schema: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Begin the file with the columns of its first rows: some kinds of run have more columns.

        The engine's columns have headers in dictionaries, which are written as such. Readers must not see
        that: the Arrow types in the file's metadata are those that it would have without dictionaries.
        Source: <https://arrow.apache.org/docs/cpp/parquet.html#serialization-details>.
        """
        plain = arrow_schema_of({}) if schema == self._arrow.schema(self._columns) else schema
        writer = self._arrow.parquet.ParquetWriter(
            self._file,
            schema,
            # Arrow's own pool returns memory after every row group, only to request it again page by page.
            memory_pool=self._arrow.system_memory_pool(),
            store_schema=False,
            **FILE_OPTIONS,
        )
        noted = {**(plain.metadata or {}), b"ARROW:schema": b64encode(plain.serialize())}
        writer.add_key_value_metadata(noted)
        return writer

    def close(self) -> None:
        """Write the last row group and the footer, and put the file in place."""
        if self._file is None:
            return
        with stops_held():
            try:
                self._complete()
            except BaseException:
                self.abort()
                raise
            self._writer = self._file = None
            self._output.close()

    def _complete(self) -> None:
        if not self._whole:
            raise self._output.broken_off()
        self.flush()
        try:
            if self._writer is None:
                self._writer = self._begun(arrow_schema_of({}))
            self._writer.close()
        except OSError as error:
            raise self._output.failure(error) from error

    def abort(self) -> None:
        """Drop the file."""
        with stops_held():
            writer, self._writer, self._file = self._writer, None, None
            self._columns, self._batches = _no_columns(), []
            if writer is not None:
                # A writer left open writes its footer when garbage-collected, to a file closed by then.
                with suppress(Exception):
                    writer.close()
            self._output.abort()


def _no_columns() -> "Columns":
    # Imported here: listing the formats, as `--help` does, needs no engine.
    from hurtle._engine import Columns

    return Columns()


def _schema_of(part: Path) -> Any:  # noqa: ANN401 - pyarrow has no types
    with _reading(part), opened(part) as file:
        return file.schema_arrow


def _fitted(table: Any, schema: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    batches = [fitted(batch, schema) for batch in table.to_batches()]
    return arrow("joining Parquet").Table.from_batches(batches, schema)


def _groups(part: Path) -> Iterator[Any]:
    with _reading(part), opened(part) as file:
        for number in range(file.num_row_groups):
            # Several threads hold on to 20 MB, and take more CPU time in total than one.
            yield file.read_row_group(number, use_threads=False)


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
        with self._file() as file:
            return int(file.metadata.num_rows)

    def rows(self, columns: Collection[str] | None = None) -> Iterator[list[StoredRow]]:
        """Yield the rows of each group."""
        for batch in self._groups(columns):
            yield batch.to_pylist()

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
        row: StoredRow = group.slice(place - first, 1).to_pylist()[0]
        return row

    def _group_of(self, place: int) -> tuple[int, Any]:
        first = 0
        with self._file() as file:
            for number in range(file.num_row_groups):
                rows = file.metadata.row_group(number).num_rows
                if place < first + rows:
                    return first, file.read_row_group(number)
                first += rows
        raise JournalError(f"{self.path} has changed: row {place} is gone; open the run again")

    @contextmanager
    def _file(self) -> Iterator[Any]:
        arrow(f"{self.path}: reading Parquet", "pyarrow.parquet")
        with self._reading(), opened(self.path) as file:
            yield file

    def _groups(self, columns: Collection[str] | None) -> Iterator[Any]:
        with self._file() as file:
            found = file.schema_arrow
            known = None if columns is None else [name for name in found.names if name in columns]
            grown = _grown(found)
            is_whole = grown is found or known is not None
            for number in range(file.num_row_groups):
                for batch in file.read_row_group(number, known).to_batches(max_chunksize=CHUNK_ROWS):
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
    """Parquet, by pyarrow."""

    marks = (MARK,)
    stored = StoredParquet
    has_footer = True

    def require(self) -> None:
        """Look for pyarrow."""
        try:
            import pyarrow.parquet  # noqa: F401 - only checked for
        except ImportError as error:
            raise MissingExtraError("parquet", "writing Parquet") from error

    def writer(self, path: str) -> Writer:
        """Return a writer of row groups."""
        return ParquetWriter(path)

    def count(self, path: Path) -> int:
        """Read the footer."""
        with reading_back(path), opened(path) as file:
            return int(file.metadata.num_rows)

    def join(self, parts: Sequence[Path], out: str) -> None:
        """Copy row group by row group, in bounded memory."""
        from pyarrow import default_memory_pool, parquet, system_memory_pool

        # Parts written by an earlier version have fewer columns.
        schema = max(map(_schema_of, parts), key=len) if parts else arrow_schema_of({})
        # Unless told otherwise, Arrow's own pool keeps the memory of what was read: 30 MB more than in use.
        pool, used_to_read = system_memory_pool(), default_memory_pool()
        with (
            OutputFile(out).writing() as file,
            parquet.ParquetWriter(file, schema, memory_pool=pool, **FILE_OPTIONS) as writer,
        ):
            for part in parts:
                for group in _groups(part):
                    writer.write_table(group if group.schema.equals(schema) else _fitted(group, schema))
                used_to_read.release_unused()

    def copies(self, newest: Newest) -> Iterator[object]:
        """Yield the rows as columns."""
        return newest.batches()
