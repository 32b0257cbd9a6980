"""Web archives as a run's rows: the `metadata` records, each with the place of its response."""

import json
import re
from collections.abc import Container, Iterator
from typing import IO, Any

from hurtle.runs.columns import table_schema
from hurtle.runs.lines import StoredRow
from hurtle.runs.stored import CHUNK_BYTES, Finder
from hurtle.runs.stored_lines import StoredLines
from hurtle.sinks.warc_reader import Place, WarcRow, read_rows, response_at
from hurtle.sinks.warc_record import payload_of

PLACE = ("warc_file", "warc_offset", "warc_length")
"""The columns that say where a row's last response is; null where none came."""


_HEAD_END = re.compile(rb"\r?\n\r?\n")


class StoredWarc(StoredLines, Finder):
    """A file of records, one gzip member each. `body` is null; PLACE says where the response is.

    The file of a place is named relative to the folder that it is in. From the offset on, so many bytes are
    one gzip member, and that is one whole `response` record.
    """

    def count(self) -> int:
        """Read every record."""
        return sum(1 for _ in self._records())

    def schema(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Return the result table's, with PLACE, also where there is no row."""
        names = super().schema().names
        return table_schema([*names, *(name for name in PLACE if name not in names)])

    def body(self, row: StoredRow) -> bytes | None:
        """Read the response, and undo its codings, up to where the row's body ended."""
        from hurtle._engine import decode_body

        if row.get("warc_offset") is None or row["status"] is None:
            return None
        if not row["bytes_body"]:
            return b""
        place = Place(row["warc_offset"], row["warc_length"])
        with self._reading(), self.path.open("rb") as file:
            response = response_at(file, place)
            head_end = _HEAD_END.search(response)
            payload = payload_of(response, head_end.end() if head_end else 0, row["http_version"])
            return decode_body(payload, ", ".join(_values(row, "content-encoding")), row["bytes_body"])

    def is_named(self, row: StoredRow) -> bool:
        """Whether the row's response is in this file, or nowhere."""
        return row.get("warc_file") in (None, self.path.name)

    def copies(self, hidden: Container[int]) -> Iterator[bytes]:
        """Yield all records of each row, as they are.

        Args:
            hidden: Positions of rows to leave out.
        """
        with self._reading(), self.path.open("rb") as file:
            for row in self._records():
                if self._index(row.line) not in hidden:
                    file.seek(row.place.offset)
                    yield file.read(row.place.length)

    def finder(self) -> Finder:
        """Return itself: a place leads straight to a row."""
        return self

    def places(self) -> Iterator[tuple[int, int]]:
        """Yield each row's position, and where its first record begins, in bytes."""
        return ((self._index(row.line), row.place.offset) for row in self._records())

    def row_at(self, place: int) -> StoredRow:
        """Read the row's records."""
        with self._reading(), self.path.open("rb") as file:
            line = _line(next(read_rows(file, place)), self._name)
        return self._row(line)

    def _open(self) -> IO[bytes]:
        return self.path.open("rb")

    @property
    def _name(self) -> bytes:
        return json.dumps(self.path.name).encode()

    def _blocks(self) -> Iterator[bytes]:
        """Yield the rows as lines, many at a time."""
        name = self._name
        lines: list[bytes] = []
        size = 0
        for row in self._records():
            lines.append(_line(row, name))
            size += len(lines[-1])
            if size >= CHUNK_BYTES:
                yield b"".join(lines)
                lines, size = [], 0
        if lines:
            yield b"".join(lines)

    def _records(self) -> Iterator[WarcRow]:
        with self._reading(), self._open() as file:
            yield from read_rows(file)


def _values(row: StoredRow, name: str) -> list[str]:
    """Return the values of a header, by its name in lower case."""
    return [header["value"] for header in row["headers"] if header["name"].lower() == name]


def _line(row: WarcRow, file: bytes) -> bytes:
    """Return a row as a line with PLACE behind its other keys."""
    place = (b"null", b"null", b"null")
    if row.response is not None:
        place = (file, b"%d" % row.response.offset, b"%d" % row.response.length)
    return b'%s,"warc_file":%s,"warc_offset":%s,"warc_length":%s}\n' % (row.line.removesuffix(b"}"), *place)
