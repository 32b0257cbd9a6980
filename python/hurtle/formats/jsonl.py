"""The result table as JSON lines: keys are columns, but `body_base64` if a body is not UTF-8."""

import json
import re
from abc import abstractmethod
from collections.abc import Collection, Container, Generator, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from hurtle.formats.base import BLOCK, EndToEnd, reading_back
from hurtle.formats.columns import table_schema
from hurtle.formats.line_writer import LinesWriter
from hurtle.formats.row_json import StoredRow, harmless, line_of, meta_text, row_of
from hurtle.formats.stored import Finder, StoredText, in_chunks
from hurtle.formats.table import COLUMNS
from hurtle.formats.writer import Writer
from hurtle.rows import Rows

_INDEX = re.compile(rb'\{"index":(\d+)[,}]')
"""How hurtle begins a line; any other line is parsed."""

_PLAIN = bytes([0x0A, *range(0x20, 0x7F)])
"""Bytes that appear in a line unchanged and never control a terminal."""

_CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]")


class JsonlWriter(LinesWriter):
    """Writes the lines that the engine produces."""

    def _encoded(self, rows: Rows) -> bytes:
        return rows.to_jsonl()


class StoredLines(StoredText):
    """A file of JSON lines, compressed or not. A last line without a line end is not a row."""

    @abstractmethod
    def _open(self) -> IO[bytes]:
        """Open the file to read its lines."""

    def count(self) -> int:
        """Count the lines."""
        return sum(block.count(b"\n") for block in self._blocks())

    def rows(self, columns: Collection[str] | None = None) -> Iterator[list[StoredRow]]:
        """Yield the rows as in the result table, in chunks of bounded size."""
        if columns is None:
            return in_chunks((self._row(line), len(line)) for line in self._lines())
        return in_chunks(self._rows_with(list(columns)))

    def _rows_with(self, columns: Sequence[str]) -> Iterator[tuple[StoredRow, int]]:
        """Yield rows with only some columns, without parsing the others."""
        from hurtle._engine import rows_of_lines

        for block in self._blocks():
            found = rows_of_lines(block, columns)
            unread = block.split(b"\n") if None in found else ()
            for number, row in enumerate(found):
                if row is None:
                    whole = self._row(unread[number])
                    row = {name: whole.get(name) for name in columns}
                else:
                    with self._reading():
                        if (meta := row.get("meta")) is not None:
                            row["meta"] = meta_text(json.loads(meta))
                        if (instant := row.get("fetched_at")) is not None:
                            row["fetched_at"] = datetime.fromisoformat(instant)
                yield row, len(row.get("body") or b"")

    def lines(self, hidden: Container[int]) -> Iterator[bytes]:
        """Yield the file's own lines. Only the first is parsed, to check that the file holds rows."""
        first = True
        for block in self._blocks():
            if first:
                self._row(block[: block.index(b"\n") + 1])
                first = False
            left = block
            if hidden:
                lines = block.splitlines(keepends=True)
                left = b"".join(line for line in lines if self._index(line) not in hidden)
            if left:
                yield self._harmless(left)

    def schema(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Return the columns of the result table, and any others that the first line has."""
        with closing(self._lines()) as lines:
            first = next(lines, None)
        return table_schema(list(COLUMNS) if first is None else list(self._row(first)))

    def _row(self, line: bytes) -> StoredRow:
        with self._reading():
            row = row_of(json.loads(line))
            row["index"] = int(row["index"])
        return row

    def _index(self, line: bytes) -> int:
        found = _INDEX.match(line)
        return int(found[1]) if found else int(self._row(line)["index"])

    def _harmless(self, lines: bytes) -> bytes:
        if not lines.translate(None, _PLAIN):
            return lines
        if _CONTROL.search(lines):
            # Not as hurtle writes them: a control character between values, or unescaped in a string.
            return b"".join(line_of(self._row(line)) for line in lines.splitlines(keepends=True))
        with self._reading():
            return harmless(lines.decode()).encode()

    def _lines(self) -> Generator[bytes, None, None]:
        for block in self._blocks():
            yield from block.splitlines(keepends=True)

    def _blocks(self) -> Iterator[bytes]:
        """Yield whole lines, many at a time."""
        rest: list[bytes] = []
        with self._reading(), self._open() as file:
            while block := file.read(BLOCK):
                end = block.rfind(b"\n") + 1
                if end:
                    yield b"".join([*rest, block[:end]])
                    rest = []
                if end < len(block):
                    rest.append(block[end:])


class StoredJsonl(StoredLines, Finder):
    """A file of JSON lines, not compressed."""

    def _open(self) -> IO[bytes]:
        return self.path.open("rb")

    def finder(self) -> Finder:
        """Return itself: a place leads straight to a row."""
        return self

    def places(self) -> Iterator[tuple[int, int]]:
        """Yield each row's position, and the offset of its line in bytes."""
        offset = 0
        with closing(self._lines()) as lines:
            for line in lines:
                yield self._index(line), offset
                offset += len(line)

    def row_at(self, place: int) -> StoredRow:
        """Read the line."""
        with self._reading(), self._open() as file:
            file.seek(place)
            line = file.readline()
        return self._row(line)


class Jsonl(EndToEnd):
    """JSON lines."""

    marks = (b"{",)
    stored = StoredJsonl
    is_empty_without_rows = True

    def writer(self, path: str) -> Writer:
        """Return a writer of lines."""
        return JsonlWriter(path)

    def count(self, path: Path) -> int:
        """Count the lines."""
        lines = 0
        with reading_back(path), path.open("rb") as file:
            while block := file.read(BLOCK):
                lines += block.count(b"\n")
        return lines
