"""Reads a file of WARC records, one gzip member each: where each record is, and which of them are rows."""

import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hurtle.formats.compressed import GZIP
from hurtle.formats.warc_record import END, ROW_TYPE

BLOCK = 16 << 10
"""Bytes to read at a time. What follows a member is copied when it ends: a few kilobytes, not a megabyte."""


_DIGITS = 18
"""Digits of the longest length: `int` refuses thousands of them."""


class DamagedWarc(ValueError):
    """A file contains something other than complete records, one in each gzip member."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record is.

    Attributes:
        offset: The offset of its gzip member, in bytes.
        length: The length of the member, in bytes.
    """

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class WarcRow:
    """A row, and where its records are.

    Attributes:
        line: The row as JSON.
        response: Its response; None: there was none.
        place: All its records: the exchanges and the row itself.
    """

    line: bytes
    response: Place | None
    place: Place


def count_rows(path: Path) -> int:
    """Return how many rows a reader finds; it stops where the file is damaged."""
    rows = 0
    with path.open("rb") as file, suppress(DamagedWarc):
        for _ in read_rows(file):
            rows += 1
    return rows


def read_rows(file: IO[bytes], offset: int = 0) -> Iterator[WarcRow]:
    """Yield the rows of a file, with one record in memory at a time.

    Args:
        file: The file.
        offset: Where the first row's records begin, in bytes.

    Raises:
        DamagedWarc: It contains something other than complete records.
    """
    responses: dict[str, Place] = {}
    begin = offset
    for place, data in _members(file, offset):
        fields, block = _record(place.offset, data)
        kind = fields.get("warc-type")
        if kind == "response":
            responses[fields.get("warc-record-id", "")] = place
        elif kind == "metadata" and fields.get("content-type") == ROW_TYPE:
            end = place.offset + place.length
            response = responses.get(fields.get("warc-concurrent-to", ""))
            yield WarcRow(block, response, Place(begin, end - begin))
            responses.clear()
            begin = end
        elif kind == "warcinfo":
            begin = place.offset + place.length


def _members(file: IO[bytes], offset: int) -> Iterator[tuple[Place, bytes]]:
    """Yield where each gzip member is, and what it contains, from an offset on."""
    file.seek(offset)
    data = file.read(BLOCK)
    while data:
        inflate, length, pieces = zlib.decompressobj(GZIP), 0, []
        while not inflate.eof:
            if not data and not (data := file.read(BLOCK)):
                raise DamagedWarc(f"the record at byte {offset} is cut off")
            try:
                pieces.append(inflate.decompress(data))
            except zlib.error as error:
                raise DamagedWarc(f"the record at byte {offset} is damaged: {error}") from error
            length += len(data) - len(inflate.unused_data)
            data = inflate.unused_data
        yield Place(offset, length), b"".join(pieces)
        offset += length
        data = data or file.read(BLOCK)


def response_at(file: IO[bytes], place: Place) -> bytes:
    """Return the response at a place: the HTTP head, and the body as received.

    Raises:
        DamagedWarc: There is no response.
    """
    file.seek(place.offset)
    data = b""
    with suppress(zlib.error):
        data = zlib.decompressobj(GZIP).decompress(file.read(place.length))
    fields, block = _record(place.offset, data)
    if fields.get("warc-type") != "response":
        raise DamagedWarc(f"the record at byte {place.offset} is not a response")
    return block


def _record(offset: int, data: bytes) -> tuple[dict[str, str], bytes]:
    """Return a record's fields, names in lower case, and its block."""
    head, _, rest = data.partition(END)
    version, *lines = head.decode("utf-8", "replace").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = fields.get("content-length", "")
    is_number = length.isdecimal() and len(length) <= _DIGITS
    if not version.startswith("WARC/") or not is_number or rest[int(length) :] != END:
        raise DamagedWarc(f"the gzip member at byte {offset} is not a complete WARC record")
    return fields, rest[: int(length)]
