"""The result table as CSV, without bodies, safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from hurtle.client import Rows
from hurtle.sinks.lines import LinesWriter
from hurtle.sinks.table import APART_COLUMNS, COLUMNS, REFRESH_COLUMNS, Kind, compact, records
from hurtle.sinks.writer import OutputFile

SHOWN = {name: kind for name, kind in COLUMNS.items() if kind != "bytes"}
"""The columns of the file, in order; some runs have more."""

KINDS = SHOWN | REFRESH_COLUMNS | APART_COLUMNS
"""All that a file may have, in order."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet may take for a formula. Source: OWASP, "CSV Injection"."""

LONGEST_CELL = (1 << 31) - 1
"""Bytes; what fits the C long of every system."""

BLOCK = 1 << 20


class CsvWriter(LinesWriter):
    """Writes RFC 4180: commas, CRLF, UTF-8, a header; an empty cell is null."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._columns: dict[str, Kind] = {}

    def _encoded(self, rows: Rows) -> bytes:
        found = list(records(rows, bodies=False))
        lines: list[list[object]] = []
        if not self._columns and found:
            # Runs of some kinds have more columns than others: the first rows show them.
            self._columns = {name: kind for name, kind in KINDS.items() if name in found[0]}
            lines.append(list(self._columns))
        shown = self._columns.items()
        lines.extend([cell(record[name], kind) for name, kind in shown] for record in found)
        return _lines(lines)

    def _tail(self) -> bytes:
        return b"" if self._columns else _lines([list(SHOWN)])


def cell(value: object, kind: Kind) -> object:
    """Return what stands in a cell: numbers as they are, JSON on one line, no text that is a formula.

    Example:
        >>> cell("=1+1", "text"), cell(-1, "integer"), cell(True, "boolean"), cell(None, "text")
        ("'=1+1", -1, 'true', None)
    """
    if kind == "json" or isinstance(value, bool):
        value = compact(value)
    return f"'{value}" if isinstance(value, str) and _is_formula(value) else value


def text_of(written: str) -> str:
    """Return the text that a cell was made of.

    Example:
        >>> text_of("'=1+1"), text_of("''=1+1"), text_of("'tis")
        ('=1+1', "'=1+1", "'tis")
    """
    return written[1:] if written.startswith("'") and _is_formula(written) else written


def _is_formula(text: str) -> bool:
    """Whether a cell would be one, or looks as if its apostrophe had been put there for that."""
    return text.lstrip("'").startswith(FORMULA)


def _lines(cells: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(cells)  # "excel", the default, is what RFC 4180 describes
    return text.getvalue().encode()


def read(path: Path) -> Iterator[list[str]]:
    """Yield the cells of each row, the header's first.

    Raises:
        ValueError: The file is no CSV.
    """
    # The module's own limit is 128 KiB, for the whole process, and headers may be longer.
    csv.field_size_limit(LONGEST_CELL)
    with path.open(encoding="utf-8", newline="") as file:
        try:
            yield from csv.reader(file, strict=True)
        except csv.Error as error:
            raise ValueError(str(error)) from error


def count(path: Path) -> int:
    """Return how many rows a file holds, the header not counted."""
    return sum(1 for _ in read(path)) - 1


def join(parts: Sequence[Path], out: str) -> None:
    """Put files behind each other under one header.

    Raises:
        SinkError: It could not be written.
    """
    with OutputFile(out).writing() as file:
        file.write(_head_of(parts[0]) if parts else _lines([list(SHOWN)]))
        for part in parts:
            with part.open("rb") as lines:
                lines.readline()
                while block := lines.read(BLOCK):
                    file.write(block)


def _head_of(part: Path) -> bytes:
    """Return the header: names of columns, which hold no line end."""
    with part.open("rb") as lines:
        return lines.readline()
