"""Requests in rows and columns: CSV with the standard library, Parquet and Arrow with pyarrow.

A table has a `url` column. A column named like a key of `Request` is that key; all others go into `meta`.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import Any

from hurtle.errors import ConfigError, MissingExtraError
from hurtle.models import REQUEST_KEYS, BadRow, Row
from hurtle.sources.base import IterableSource, Source, request_row, shown
from hurtle.sources.lines import LineReader

JSON_KEYS = frozenset({"params", "headers", "cookies", "json", "data", "auth", "meta"})
"""Keys whose cells are read as JSON if they look like an object, an array or a string."""

NUMBER_KEYS: Mapping[str, type[float] | type[int]] = {"timeout": float, "priority": int}
FLAG_KEYS = frozenset({"decode_content"})
ARROW_ROWS = 1024
LONGEST_CELL = 16 << 20


class _WideCells:
    """Lets the csv module read cells of LONGEST_CELL bytes while a source reads.

    The module has one limit for the whole process, other code included: the last reader restores it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._readers = 0
        self._before = 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Raise the limit until the end of the block."""
        with self._lock:
            if not self._readers:
                self._before = csv.field_size_limit(LONGEST_CELL)
            self._readers += 1
        try:
            yield
        finally:
            with self._lock:
                self._readers -= 1
                if not self._readers:
                    csv.field_size_limit(self._before)


_wide_cells = _WideCells()


class CsvSource(Source):
    """The rows of a CSV or TSV file with a header line.

    Args:
        path: A file, also .gz or .zst; "-" is stdin.
        delimiter: The character between two cells.

    Raises:
        ConfigError: There is no `url` column.
    """

    columns: Sequence[str] = ()

    def __init__(self, path: str, delimiter: str = ",") -> None:
        self.path = path
        self._lines = LineReader(path)
        self.steady = self._lines.regular
        self._broken: BadRow | None = None
        self._delimiter = delimiter
        try:
            with _wide_cells.reading():
                self._start()
        except BaseException:
            self._lines.close()
            raise
        if self.steady:
            # Opened again when it is iterated: until then it holds no file open.
            self._lines.close()

    def _start(self) -> None:
        """Read the header line."""
        self._rows = csv.reader(self._decoded(), delimiter=self._delimiter, strict=True)
        try:
            self.columns = _columns(next(self._rows, []), self._lines.path)
        except csv.Error as error:
            raise ConfigError(
                f"{self._lines.path}: the header line is not CSV: {error}", option="requests"
            ) from error

    def _decoded(self) -> Iterator[str]:
        for _, line in self._lines.numbered():
            if isinstance(line, BadRow):
                self._broken = line
                return
            # With its line end: inside quotes it belongs to the cell.
            yield line.decode("utf-8", "backslashreplace") + "\n"

    def __iter__(self) -> Iterator[Row]:
        """Yield each row's request; a BadRow if the row has more or fewer cells than the header."""
        with _wide_cells.reading():
            if self.steady:
                self._start()
            while True:
                try:
                    cells = next(self._rows, None)
                except csv.Error as error:
                    yield BadRow("input.row", f"not CSV: {error}", self._rows.line_num)
                    continue
                if cells is None:
                    break
                if not cells:
                    self.skipped += 1
                    continue
                yield self._row(cells, self._rows.line_num)
            if self._broken is not None:
                yield self._broken

    def _row(self, cells: list[str], line: int) -> Row:
        if len(cells) != len(self.columns):
            detail = f"{len(cells)} cells, but the header has {len(self.columns)}"
            return BadRow("input.row", detail, line, shown(",".join(cells)))
        # An empty cell is a missing value: CSV has no other way to say so.
        values = {name: cell for name, cell in zip(self.columns, cells, strict=True) if cell}
        return table_row(values, line)

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


class ParquetSource(Source):
    """The rows of a Parquet file, read row group by row group.

    Raises:
        ConfigError: It is not a Parquet file, or has no `url` column.
        MissingExtraError: pyarrow is not installed.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        parquet = _pyarrow("parquet", f"{path}: reading Parquet")
        if path == "-":
            raise ConfigError("a Parquet file cannot be read from stdin", option="requests")
        try:
            # Passed as an open file: pyarrow would take a name with a colon for an address.
            self._file = parquet.ParquetFile(_pyarrow(None, path).OSFile(path))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read as Parquet: {error}", option="requests") from error
        self.columns = _columns(self._file.schema_arrow.names, path)

    @property
    def total(self) -> int | None:
        """The number of rows in the file's footer."""
        return int(self._file.metadata.num_rows)

    def __iter__(self) -> Iterator[Row]:
        """Yield each row's request."""
        return _batch_rows(self._file.iter_batches(batch_size=ARROW_ROWS))

    def close(self) -> None:
        """Close the file."""
        self._file.close(force=True)


class ArrowSource(Source):
    """The rows of a table with the Arrow C stream interface."""

    def __init__(self, reader: Any, total: int | None) -> None:  # noqa: ANN401 - pyarrow has no types
        self._reader = reader
        self._total = total
        # A stream may be a query that is still running; the rows of a table in memory are at hand.
        self.steady = total is not None
        self.columns = _columns(reader.schema.names, "the table")

    @property
    def total(self) -> int | None:
        """The table's length; None for a stream."""
        return self._total

    def __iter__(self) -> Iterator[Row]:
        """Yield each row's request."""
        slices = (part for batch in self._reader for part in _slices(batch))
        return _batch_rows(slices)


def arrow_source(table: object) -> Source:
    """Return the source of a table, or of one column of URLs.

    Args:
        table: An object with `__arrow_c_stream__` or `__arrow_c_array__`.

    Raises:
        ConfigError: There is no `url` column.
        MissingExtraError: pyarrow is not installed.
    """
    arrow = _pyarrow(None, f"reading requests from {type(table).__name__}")
    try:
        length = len(table)  # type: ignore[arg-type]
    except TypeError:
        length = None
    if not hasattr(table, "__arrow_c_stream__"):
        table = arrow.Table.from_batches([arrow.record_batch(table)])
    try:
        reader = arrow.RecordBatchReader.from_stream(table)
    except (arrow.ArrowInvalid, TypeError):
        # A single column (a Series, a ChunkedArray) is a stream whose type is not a struct.
        return IterableSource(arrow.chunked_array(table).to_pylist())
    return ArrowSource(reader, length)


def table_row(values: Mapping[str, Any], line: int | None = None) -> Row:
    """Turn a row's values, by column name, into a request; a row with only a URL stays text."""
    if values.keys() == {"url"} and isinstance(values["url"], str):
        return str(values["url"])
    request: dict[str, Any] = {}
    meta: dict[str, Any] = {}
    try:
        for name, value in values.items():
            if name not in REQUEST_KEYS:
                meta[name] = value
            elif value is not None:
                request[name] = _cell(name, value)
    except ValueError as error:
        return BadRow("input.row", str(error), line, shown(values.get("url", "")))
    if meta:
        own = request.get("meta")
        request["meta"] = (
            meta | own if isinstance(own, dict) else meta if own is None else meta | {"meta": own}
        )
    row = request_row(request, line)
    if isinstance(row, BadRow) and (own_keys := sorted(request.keys() - {"url", "meta"})):
        # The author of the table may not know that these names have a meaning.
        return replace(row, detail=f"{row.detail} (columns that are request keys: {', '.join(own_keys)})")
    return row


def _cell(name: str, value: Any) -> Any:  # noqa: ANN401 - a cell holds JSON values
    if not isinstance(value, str):
        return value
    if name in FLAG_KEYS:
        if value.lower() not in ("true", "false"):
            raise ValueError(f"{name}: {value!r} is neither true nor false")
        return value.lower() == "true"
    if name in NUMBER_KEYS:
        try:
            return NUMBER_KEYS[name](value)
        except ValueError:
            raise ValueError(f"{name}: {value!r} is not a number") from None
    if name in JSON_KEYS and value[:1] in ("{", "[", '"'):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"{name}: the cell is not JSON: {error}") from error
    return value


def _columns(names: Sequence[str], where: str) -> list[str]:
    if "url" not in names:
        found = ", ".join(map(repr, names)) or "none"
        raise ConfigError(f"{where} has no column 'url'; its columns: {found}", option="requests")
    twice = {name for name in names if list(names).count(name) > 1}
    if twice:
        raise ConfigError(f"{where} has several columns named {', '.join(sorted(twice))}", option="requests")
    return list(names)


def _batch_rows(batches: Iterable[Any]) -> Iterator[Row]:
    for batch in batches:
        if batch.schema.names == ["url"]:
            # A null is a row, too: one without a url, which its error says.
            yield from (table_row({"url": url}) for url in batch.column(0).to_pylist())
        else:
            yield from (table_row(values) for values in batch.to_pylist())


def _slices(batch: Any) -> Iterator[Any]:  # noqa: ANN401 - pyarrow has no types
    for start in range(0, batch.num_rows, ARROW_ROWS):
        yield batch.slice(start, ARROW_ROWS)


def _pyarrow(module: str | None, needed_for: str) -> Any:  # noqa: ANN401 - pyarrow has no types
    try:
        if module is None:
            import pyarrow

            return pyarrow
        import pyarrow.parquet

        return pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("parquet", needed_for) from error
