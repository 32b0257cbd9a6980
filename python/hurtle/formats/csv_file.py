"""The result table as CSV, without bodies, safe to open in a spreadsheet."""

import csv
import io
import json
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from hurtle.formats.base import BLOCK, Format, reading_back
from hurtle.formats.columns import kind_of, table_schema, with_later
from hurtle.formats.line_writer import LinesWriter
from hurtle.formats.row_json import StoredRow, meta_text
from hurtle.formats.stored import StoredText, in_chunks
from hurtle.formats.table import APART_COLUMNS, COLUMNS, REFRESH_COLUMNS, REQUIRED, Kind, compact, records
from hurtle.formats.writer import OutputFile, Writer
from hurtle.rows import Rows

SHOWN = {name: kind for name, kind in COLUMNS.items() if kind != "bytes"}
"""The columns of the file, in order; some runs have more."""

KINDS = SHOWN | REFRESH_COLUMNS | APART_COLUMNS
"""All columns that a file may have, in order."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""The beginnings of a cell that a spreadsheet may take for a formula. Source: OWASP, "CSV Injection"."""

LONGEST_CELL = (1 << 31) - 1
"""Bytes; the most that fits into a C long on every system."""


PARSE: dict[Kind, Callable[[str], Any]] = {
    "integer": int,
    "text": str,
    "boolean": {"true": True, "false": False}.__getitem__,
    "instant": datetime.fromisoformat,
    "seconds": float,
    "json": json.loads,
    "bytes": str.encode,
}
"""Converts the text of a cell to a value."""


class CsvWriter(LinesWriter):
    """Writes RFC 4180: commas, CRLF, UTF-8, a header; an empty cell is null."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._columns: dict[str, Kind] = {}

    def _encoded(self, rows: Rows) -> bytes:
        found = list(records(rows, bodies=False))
        lines: list[list[object]] = []
        if not self._columns and found:
            # Some kinds of run have more columns; the first rows show which.
            self._columns = {name: kind for name, kind in KINDS.items() if name in SHOWN or name in found[0]}
            lines.append(list(self._columns))
        shown = self._columns.items()
        # Rows of an earlier version may have fewer.
        lines.extend([cell(record.get(name), kind) for name, kind in shown] for record in found)
        return _lines(lines)

    def _tail(self) -> bytes:
        return b"" if self._columns else _lines([list(SHOWN)])


def cell(value: object, kind: Kind) -> object:
    """Return the content of a cell: numbers as they are, JSON on one line, no text that is a formula.

    Example:
        >>> cell("=1+1", "text"), cell(-1, "integer"), cell(True, "boolean"), cell(None, "text")
        ("'=1+1", -1, 'true', None)
    """
    if kind == "json" or isinstance(value, bool):
        value = compact(value)
    return f"'{value}" if isinstance(value, str) and _is_formula(value) else value


def text_of(written: str) -> str:
    """Return the text that a cell was made from.

    Example:
        >>> text_of("'=1+1"), text_of("''=1+1"), text_of("'tis")
        ('=1+1', "'=1+1", "'tis")
    """
    return written[1:] if written.startswith("'") and _is_formula(written) else written


def _is_formula(text: str) -> bool:
    """Whether a cell would be a formula, or looks as if an apostrophe had been added to prevent that."""
    return text.lstrip("'").startswith(FORMULA)


def _lines(cells: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(cells)  # "excel", the default, is what RFC 4180 describes
    return text.getvalue().encode()


def read(path: Path) -> Iterator[list[str]]:
    """Yield the cells of each row, the header's first.

    Raises:
        ValueError: The file is not CSV.
    """
    # The default limit of the csv module is 128 KiB, for the whole process; headers may be longer.
    csv.field_size_limit(LONGEST_CELL)
    with path.open(encoding="utf-8", newline="") as file:
        try:
            yield from csv.reader(file, strict=True)
        except csv.Error as error:
            raise ValueError(str(error)) from error


def count_rows(path: Path) -> int:
    """Return how many rows a file has, not counting the header."""
    return sum(1 for _ in read(path)) - 1


def _head_of(part: Path) -> bytes:
    """Return the header: column names, which contain no line ends."""
    with part.open("rb") as lines:
        return lines.readline()


def _under(head: bytes, part: Path) -> Iterator[bytes]:
    """Yield the rows of a file for the header of another file; a column that it lacks is empty."""
    with reading_back(part):
        rows = read(part)
        own = {name: at for at, name in enumerate(next(rows))}
        places = [own.get(name) for name in head.decode().strip().split(",")]
        for row in rows:
            yield _lines([["" if at is None else row[at] for at in places]])


class StoredCsv(StoredText):
    """A CSV file with a header. It holds no bodies: there is no column for them."""

    def count(self) -> int:
        """Parse the file."""
        with self._reading():
            return count_rows(self.path)

    def rows(self, columns: Collection[str] | None = None) -> Iterator[list[StoredRow]]:
        """Yield the rows; an empty cell is null, or an empty text if the column has no nulls."""
        return in_chunks(self._rows(columns))

    def schema(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Return the columns that the header names, with the types of the result table."""
        with closing(self._cells()) as cells:
            return table_schema(with_later(next(cells)))

    def _rows(self, columns: Collection[str] | None) -> Iterator[tuple[StoredRow, int]]:
        with closing(self._cells()) as cells:
            names = next(cells)
            wanted = [(at, name) for at, name in enumerate(names) if columns is None or name in columns]
            absent = dict.fromkeys(set(with_later(names) if columns is None else columns) - set(names))
            for row in cells:
                with self._reading():
                    if len(row) != len(names):
                        raise ValueError(f"a row has {len(row)} cells, but the header has {len(names)}")
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


class Csv(Format):
    """CSV without bodies."""

    marks = (b"index,", b'"index",')
    stored = StoredCsv
    holds_bodies = False

    def writer(self, path: str) -> Writer:
        """Return a writer of a header and rows."""
        return CsvWriter(path)

    def count(self, path: Path) -> int:
        """Parse the file."""
        with reading_back(path):
            return count_rows(path)

    def join(self, parts: Sequence[Path], out: str) -> None:
        """Concatenate the files under one header."""
        heads = [_head_of(part) for part in parts]
        # Parts written by an earlier version have fewer columns.
        head = max(heads, key=len, default=_lines([list(SHOWN)]))
        with OutputFile(out).writing() as file:
            file.write(head)
            for part, own in zip(parts, heads, strict=True):
                if own != head:
                    file.writelines(_under(head, part))
                    continue
                with part.open("rb") as lines:
                    lines.readline()
                    while block := lines.read(BLOCK):
                        file.write(block)
