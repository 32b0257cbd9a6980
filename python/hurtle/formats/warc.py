"""Web archives: what went over the wire, byte for byte, together with the row of the result table."""

import json
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hurtle.formats.base import EndToEnd, Newest, reading_back
from hurtle.formats.columns import table_schema
from hurtle.formats.compressed import GZIP_MARK, unpacked
from hurtle.formats.jsonl import StoredLines
from hurtle.formats.line_writer import LinesWriter
from hurtle.formats.row_json import StoredRow
from hurtle.formats.stored import CHUNK_BYTES, Finder
from hurtle.formats.warc_reader import Place, WarcRow, count_rows, read_rows, response_at
from hurtle.formats.warc_record import (
    MARK,
    ROW_TYPE,
    WARC_INFO,
    Field,
    exchange_records,
    instant,
    payload_of,
    record,
)
from hurtle.formats.writer import Writer
from hurtle.rows import Exchange, Rows

PLACE = ("warc_file", "warc_offset", "warc_length")
"""The columns that say where a row's last response is; null if there was none."""


_HEAD_END = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class CopiedRecords:
    """Rows copied from another file, with all their records."""

    records: bytes


class WarcWriter(LinesWriter):
    """Writes a `warcinfo` record, then for each row its exchanges and one `metadata` record.

    The `metadata` record is the row, without its body, whether there was a response or not. It comes last and
    is WARC-Concurrent-To the last response.
    """

    def _head(self) -> bytes:
        return record("warcinfo", WARC_INFO, "application/warc-fields")

    def _encoded(self, rows: Rows | CopiedRecords) -> bytes:
        if isinstance(rows, CopiedRecords):
            return rows.records
        lines = rows.to_jsonl(bodies=False).splitlines()
        return b"".join(
            member
            for line, exchanges in zip(lines, rows.exchanges(), strict=True)
            for member in _row_records(line, exchanges)
        )


def _row_records(line: bytes, exchanges: tuple[Exchange, ...]) -> Iterator[bytes]:
    response, date = None, None
    fields: list[Field] = []
    for exchange in exchanges:
        members, response = exchange_records(exchange)
        yield members
    if response is not None:
        fields = [("WARC-Concurrent-To", response), ("WARC-Target-URI", exchanges[-1].url)]
        date = instant(exchanges[-1].started_us)
    yield record("metadata", line, ROW_TYPE, fields, date=date)


class StoredWarc(StoredLines, Finder):
    """A file of records, one gzip member each. `body` is null; PLACE says where the response is.

    The file is named relative to its own folder. The given number of bytes at the offset is one gzip member,
    which is one complete `response` record.
    """

    def count(self) -> int:
        """Read every record."""
        return sum(1 for _ in self._records())

    def schema(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Return the columns of the result table with PLACE, even if there are no rows."""
        names = super().schema().names
        return table_schema([*names, *(name for name in PLACE if name not in names)])

    def body(self, row: StoredRow) -> bytes | None:
        """Read the response, and undo its codings, up to the end of the row's body."""
        if row.get("warc_offset") is None or row["status"] is None:
            # In the row, if it comes from the log of answers.
            return super().body(row)
        if not row["bytes_body"]:
            return b""
        place = Place(row["warc_offset"], row["warc_length"])
        with self._reading(), self.path.open("rb") as file:
            response = response_at(file, place)
            head_end = _HEAD_END.search(response)
            payload = payload_of(response, head_end.end() if head_end else 0, row["http_version"])
            return decoded(row, payload)

    @classmethod
    def file_of_body(cls, row: StoredRow) -> str | None:
        """Return the file of the row's response."""
        name: str | None = row.get("warc_file")
        return name

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
        """Yield each row's position, and the offset of its first record in bytes."""
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


def _undone(row: StoredRow) -> list[str]:
    """Return the content codings that the row's body does not have any more."""
    names = (name.strip() for value in _values(row, "content-encoding") for name in value.split(","))
    codings = [name for name in names if name and name.lower() != "identity"]
    left = row.get("encoding_left")
    return codings[len(left.split(", ")) :] if left else codings


def decoded(row: StoredRow, payload: bytes) -> bytes:
    """Return the body of a row: that of its response without codings, up to the length in the row."""
    from hurtle._engine import decode_body

    return decode_body(payload, ", ".join(_undone(row)), row["bytes_body"])


def _values(row: StoredRow, name: str) -> list[str]:
    """Return the values of a header, by its name in lower case."""
    return [header["value"] for header in row["headers"] if header["name"].lower() == name]


def _line(row: WarcRow, file: bytes) -> bytes:
    """Return a row as a line with PLACE after its other keys."""
    place = (b"null", b"null", b"null")
    if row.response is not None:
        place = (file, b"%d" % row.response.offset, b"%d" % row.response.length)
    return b'%s,"warc_file":%s,"warc_offset":%s,"warc_length":%s}\n' % (row.line.removesuffix(b"}"), *place)


class Warc(EndToEnd):
    """Web archives: what went over the wire, one gzip member for each record."""

    marks = (GZIP_MARK,)
    stored = StoredWarc
    records_exchanges = True
    added = PLACE

    def is_marked(self, head: bytes) -> bool:
        """Whether the first gzip member contains a record."""
        return super().is_marked(head) and unpacked(head).startswith(MARK)

    def writer(self, path: str) -> Writer:
        """Return a writer of records."""
        return WarcWriter(path)

    def count(self, path: Path) -> int:
        """Read every record."""
        with reading_back(path):
            return count_rows(path)

    def copies(self, newest: Newest) -> Iterator[object]:
        """Yield all records: only they contain what went over the wire."""
        return (
            CopiedRecords(records)
            for part in newest.parts
            if isinstance(part.stored, StoredWarc)
            for records in part.stored.copies(part.hidden())
        )
