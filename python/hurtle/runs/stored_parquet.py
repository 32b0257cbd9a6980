"""Parquet files, read row group by row group."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from hurtle.runs.lines import StoredRow
from hurtle.runs.stored import CHUNK_ROWS, Stored, arrow


class StoredParquet(Stored):
    """A Parquet file. Columns and types are the file's own."""

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
