"""The result table as Parquet, by pyarrow: row groups of bounded size, zstd."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hurtle.client import Rows
from hurtle.errors import ConfigError, MissingExtraError
from hurtle.sinks.held import stops_held
from hurtle.sinks.writer import OutputFile, Writer

GROUP_ROWS = 65_536
GROUP_BYTES = 2 << 20
"""A row group is written at so many rows or bytes: held in memory here, read at once by a reader."""

FEW_VALUES = [
    "method", "status", "error", "http_version", "remote_ip", "content_type", "content_encoding", "truncated",
    "headers.list.element.name", "headers.list.element.value",
]  # fmt: skip
"""Columns worth a dictionary. A dictionary of bodies or URLs would only be given up again after a page."""

WITH_BOUNDS = ["index", "status", "error", "attempts", "fetched_at", "t_total", "t_first_byte", "bytes_body"]
"""Columns with minimum and maximum in the footer, by which a reader skips row groups."""

FILE_OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": FEW_VALUES,
    "write_statistics": WITH_BOUNDS,
}


class ParquetWriter(Writer):
    """Collects batches to row groups.

    Args:
        path: A file. A Parquet file is read from its end, so stdout cannot be one.
    """

    def __init__(self, path: str) -> None:
        if path == "-":
            raise ConfigError("Parquet cannot be written to stdout; name a file", option="out")
        self._output = OutputFile(path)
        self._arrow: Any = None
        self._writer: Any = None
        self._batches: list[Any] = []
        self._rows = 0
        self._bytes = 0
        self._whole = True

    def open(self) -> None:
        """Open the file and write its head."""
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError as error:
            raise MissingExtraError("parquet", "writing Parquet") from error
        from hurtle._engine import arrow_schema

        self._arrow = pyarrow
        schema = pyarrow.schema(arrow_schema())
        file = self._output.open()
        try:
            self._writer = parquet.ParquetWriter(file, schema, **FILE_OPTIONS)
        except OSError as error:
            self._output.abort()
            raise ConfigError(str(self._output.failure(error)), option="out") from error

    def write(self, rows: Rows) -> None:
        """Take rows without copying them; write a row group when enough has come."""
        if self._writer is None:
            raise ValueError("the file is not open")
        record_batch = self._arrow.record_batch(rows)
        self._batches.append(record_batch)
        self._rows += record_batch.num_rows
        self._bytes += record_batch.nbytes
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what has come as a row group."""
        if not self._batches:
            return
        with stops_held():
            self._whole = False
            table = self._arrow.Table.from_batches(self._batches)
            try:
                self._writer.write_table(table, row_group_size=GROUP_ROWS)
            except OSError as error:
                raise self._output.failure(error) from error
            self._batches, self._rows, self._bytes = [], 0, 0
            self._whole = True

    def close(self) -> None:
        """Write the last row group and the footer, and put the file in its place."""
        if self._writer is None:
            return
        with stops_held():
            try:
                self._complete()
            except BaseException:
                self.abort()
                raise
            self._writer = None
            self._output.close()

    def _complete(self) -> None:
        if not self._whole:
            raise self._output.broken_off()
        self.flush()
        try:
            self._writer.close()
        except OSError as error:
            raise self._output.failure(error) from error

    def abort(self) -> None:
        """Drop the file."""
        with stops_held():
            writer, self._writer = self._writer, None
            self._batches = []
            if writer is not None:
                # A writer left open writes its footer when it is collected, into a file closed by then.
                with suppress(Exception):
                    writer.close()
            self._output.abort()


def join(parts: Sequence[Path], out: str) -> None:
    """Make one file of several, row group by row group, in bounded memory.

    Raises:
        SinkError: It could not be written.
    """
    import pyarrow
    from pyarrow import parquet

    from hurtle._engine import arrow_schema

    output = OutputFile(out)
    file = output.open()
    try:
        with parquet.ParquetWriter(file, pyarrow.schema(arrow_schema()), **FILE_OPTIONS) as writer:
            for part in parts:
                for group in _groups(parquet.ParquetFile(part)):
                    writer.write_table(group)
    except OSError as error:
        output.abort()
        raise output.failure(error) from error
    except BaseException:
        output.abort()
        raise
    output.close()


def _groups(file: Any) -> Iterator[Any]:  # noqa: ANN401 - pyarrow has no types
    with file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number)
