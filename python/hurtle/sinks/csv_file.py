"""The result table as CSV, without bodies, safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from hurtle.client import Rows
from hurtle.sinks.lines import LinesWriter
from hurtle.sinks.table import COLUMNS, Kind, compact, records
from hurtle.sinks.writer import OutputFile

SHOWN = {name: kind for name, kind in COLUMNS.items() if kind != "bytes"}
"""The columns of the file, in order."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet may take for a formula. Source: OWASP, "CSV Injection"."""

BLOCK = 1 << 20


class CsvWriter(LinesWriter):
    """Writes RFC 4180: commas, CRLF, UTF-8, a header; an empty cell is null."""

    def _head(self) -> bytes:
        return _lines([list(SHOWN)])

    def _encoded(self, rows: Rows) -> bytes:
        return _lines(
            [[cell(record[name], kind) for name, kind in SHOWN.items()] for record in records(rows)]
        )


def cell(value: object, kind: Kind) -> object:
    """Return what stands in a cell: numbers as they are, JSON on one line, no text that is a formula.

    Example:
        >>> cell("=1+1", "text"), cell(-1, "integer"), cell(True, "boolean"), cell(None, "text")
        ("'=1+1", -1, 'true', None)
    """
    if kind == "json" or isinstance(value, bool):
        value = compact(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _lines(cells: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(cells)  # "excel", the default, is what RFC 4180 describes
    return text.getvalue().encode()


def count(path: Path) -> int:
    """Return how many rows a file holds, the header not counted."""
    with path.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def join(parts: Sequence[Path], out: str) -> None:
    """Put files behind each other under one header.

    Raises:
        SinkError: It could not be written.
    """
    output = OutputFile(out)
    file = output.open()
    head = _lines([list(SHOWN)])
    try:
        file.write(head)
        for part in parts:
            with part.open("rb") as lines:
                lines.seek(len(head))
                while block := lines.read(BLOCK):
                    file.write(block)
    except OSError as error:
        output.abort()
        raise output.failure(error) from error
    except BaseException:
        output.abort()
        raise
    output.close()
