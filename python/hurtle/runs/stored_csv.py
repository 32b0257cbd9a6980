"""CSV files: text, parsed to the types of the result table."""

import json
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

from hurtle.runs.columns import kind_of, table_schema
from hurtle.runs.lines import StoredRow, meta_text
from hurtle.runs.stored import in_chunks
from hurtle.runs.stored_text import StoredText
from hurtle.sinks.csv_file import count, read, text_of
from hurtle.sinks.table import REQUIRED, Kind

PARSE: dict[Kind, Callable[[str], Any]] = {
    "integer": int,
    "text": str,
    "boolean": {"true": True, "false": False}.__getitem__,
    "instant": datetime.fromisoformat,
    "seconds": float,
    "json": json.loads,
    "bytes": str.encode,
}
"""What makes a value of a cell's text."""


class StoredCsv(StoredText):
    """A CSV file with a header. It holds no bodies: there is no column for them."""

    def count(self) -> int:
        """Parse the file."""
        with self._reading():
            return count(self.path)

    def rows(self, columns: Collection[str] | None = None) -> Iterator[list[StoredRow]]:
        """Yield the rows; an empty cell is null, or an empty text where the column has no nulls."""
        return in_chunks(self._rows(columns))

    def schema(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Return the columns that the header names, with the types of the result table."""
        with closing(self._cells()) as cells:
            return table_schema(next(cells))

    def _rows(self, columns: Collection[str] | None) -> Iterator[tuple[StoredRow, int]]:
        with closing(self._cells()) as cells:
            names = next(cells)
            wanted = [(at, name) for at, name in enumerate(names) if columns is None or name in columns]
            absent = dict.fromkeys(() if columns is None else set(columns) - set(names))
            for row in cells:
                with self._reading():
                    if len(row) != len(names):
                        raise ValueError(f"a row of {len(row)} cells under a header of {len(names)}")
                    values = {name: _value(name, row[at]) for at, name in wanted}
                yield values | absent, sum(map(len, row))

    def _cells(self) -> Generator[list[str], None, None]:
        with self._reading():
            cells = read(self.path)
            header = next(cells, [])
            if "index" not in header:
                raise ValueError("its first line does not name the columns")
            yield header
            yield from cells


def _value(name: str, written: str) -> Any:  # noqa: ANN401 - a value of any column
    kind = kind_of(name)
    if not written:
        return "" if kind == "text" and name in REQUIRED else None
    value = PARSE[kind](text_of(written))
    return meta_text(value) if name == "meta" else value
