"""Parquet files, read row group by row group."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from hurtle.errors import JournalError
from hurtle.runs.lines import StoredRow
from hurtle.runs.stored import CHUNK_ROWS, Finder, Stored, arrow
from hurtle.sinks.parquet import opened


class StoredParquet(Stored, Finder):
    """A Parquet file. Columns and types are the file's own."""

    _group: tuple[int, Any] | None = None
    """The row group that was looked into last, and the number of its first row."""

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
        raise JournalError(f"{self.path} is not what it was: row {place} is gone")

    @contextmanager
    def _file(self) -> Iterator[Any]:
        arrow(f"{self.path}: reading Parquet", "pyarrow.parquet")
        with self._reading(), opened(self.path) as file:
            yield file

    def _groups(self, columns: Collection[str] | None) -> Iterator[Any]:
        with self._file() as file:
            known = None if columns is None else [name for name in file.schema_arrow.names if name in columns]
            for number in range(file.num_row_groups):
                yield from file.read_row_group(number, known).to_batches(max_chunksize=CHUNK_ROWS)
