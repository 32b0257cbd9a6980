"""The files that hold a run's rows, read chunk by chunk."""

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hurtle.errors import ConfigError, JournalError, MissingExtraError
from hurtle.runs.lines import StoredRow, row_of

CHUNK_ROWS = 1_000
CHUNK_BYTES = 4 << 20
"""Rows are read so many, or so many bytes of them, at a time: what reading holds in memory."""

PARQUET_MARK = b"PAR1"
"""What a Parquet file begins with. Source: https://parquet.apache.org/docs/file-format/"""


class Stored(ABC):
    """A whole file of rows.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def count(self) -> int:
        """Return how many rows it holds."""

    @abstractmethod
    def rows(self, columns: Collection[str] | None = None) -> Iterator[list[StoredRow]]:
        """Yield rows, a chunk at a time.

        Args:
            columns: Those that are wanted, where not all of them are.
        """

    @abstractmethod
    def batches(self) -> Iterator[Any]:
        """Yield the rows as Arrow record batches of the file's schema."""

    @abstractmethod
    def schema(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Return its columns, as a `pyarrow.Schema`."""

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise JournalError(
                f"{self.path} is gone: has its run ended in the meantime? Open it again"
            ) from error
        except OSError as error:
            raise JournalError(f"{self.path} cannot be read: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise JournalError(f"{self.path} is damaged: {error}") from error


class StoredParquet(Stored):
    """A Parquet file, read row group by row group."""

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
            return file.schema_arrow

    @contextmanager
    def _file(self) -> Iterator[Any]:
        parquet = arrow(f"{self.path}: reading Parquet", "pyarrow.parquet")
        with self._reading(), parquet.ParquetFile(self.path) as file:
            yield file

    def _groups(self, columns: Collection[str] | None) -> Iterator[Any]:
        with self._file() as file:
            known = None if columns is None else [name for name in file.schema_arrow.names if name in columns]
            for number in range(file.num_row_groups):
                yield from file.read_row_group(number, known).to_batches(max_chunksize=CHUNK_ROWS)


class StoredJsonl(Stored):
    """A file of JSON lines. A last line without its end is no row."""

    def count(self) -> int:
        """Count the lines."""
        with self._reading(), self.path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))

    def rows(self, columns: Collection[str] | None = None) -> Iterator[list[StoredRow]]:
        """Yield the rows as the table has them, so many or so many bytes at a time."""
        chunk: list[StoredRow] = []
        size = 0
        for line in self._lines():
            with self._reading():
                row = row_of(json.loads(line))
                row["index"] = int(row["index"])
            chunk.append(row if columns is None else {name: row.get(name) for name in columns})
            size += len(line)
            if len(chunk) >= CHUNK_ROWS or size >= CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
        if chunk:
            yield chunk

    def _lines(self) -> Iterator[bytes]:
        with self._reading(), self.path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line

    def batches(self) -> Iterator[Any]:
        """Yield the rows as columns."""
        pyarrow, schema = arrow(f"{self.path}: reading it as Arrow"), self.schema()
        for chunk in self.rows():
            with self._reading():
                batch = pyarrow.RecordBatch.from_pylist(chunk, schema=schema)
            yield batch

    def schema(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Return the result table's."""
        return table_schema()


STORED: dict[str, type[Stored]] = {"parquet": StoredParquet, "jsonl": StoredJsonl}
"""What can be read back, by the format's name."""


def format_of(path: Path, shown: str) -> str:
    """Return what a file holds, by its first bytes: its name may be any.

    Raises:
        ConfigError: Nothing that can be read back.
    """
    try:
        with path.open("rb") as file:
            head = file.read(len(PARQUET_MARK))
    except OSError as error:
        raise ConfigError(f"{shown} cannot be read: {error.strerror or error}", option="out") from error
    if head == PARQUET_MARK:
        return "parquet"
    if not head or head.startswith(b"{"):
        return "jsonl"
    raise ConfigError(
        f"{shown} is neither Parquet nor JSON lines: what can be read back so far is {', '.join(STORED)}",
        option="out",
    )


def without(rows: Iterable[list[StoredRow]], hidden: Collection[int]) -> Iterator[list[StoredRow]]:
    """Leave out the rows of some positions."""
    for chunk in rows:
        if left := [row for row in chunk if row["index"] not in hidden] if hidden else chunk:
            yield left


def batches_without(batches: Iterable[Any], hidden: Collection[int]) -> Iterator[Any]:
    """Leave out the rows of some positions, in columns."""
    return _filtered(batches, hidden, keep=False) if hidden else iter(batches)


def batches_with(batches: Iterable[Any], wanted: Collection[int]) -> Iterator[Any]:
    """Leave out the rows of all other positions, in columns."""
    return _filtered(batches, wanted, keep=True)


def _filtered(batches: Iterable[Any], indexes: Collection[int], *, keep: bool) -> Iterator[Any]:
    pyarrow = arrow("reading as Arrow")
    compute = arrow("reading as Arrow", "pyarrow.compute")
    values = pyarrow.array(indexes, pyarrow.int64())
    for batch in batches:
        found = compute.is_in(batch["index"], value_set=values)
        left = batch.filter(found if keep else compute.invert(found))
        if left.num_rows:
            yield left


def table_schema() -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return the result table's columns, as a `pyarrow.Schema`."""
    from hurtle._engine import arrow_schema

    return arrow("reading as Arrow").schema(arrow_schema())


def arrow(needed_for: str, module: str = "pyarrow") -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return pyarrow, or a module of it.

    Raises:
        MissingExtraError: It is not installed.
    """
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError("parquet", needed_for) from error
