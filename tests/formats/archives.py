"""Web archives as fastwarc and warcio read them."""

import base64
import gzip
import json
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any

import fastwarc.warc
import warcio.archiveiterator

from tests.outputs.breaking import Found


@dataclass(frozen=True, slots=True)
class Record:
    """A record: its type, its offset, its fields by name, its block, and the block without the HTTP head."""

    kind: str
    offset: int
    fields: dict[str, str]
    block: bytes
    body: bytes

    @property
    def id(self) -> str:
        return self.fields["WARC-Record-ID"]

    @property
    def url(self) -> str:
        return self.fields["WARC-Target-URI"]


@dataclass(frozen=True, slots=True)
class Archived:
    """A row: the result table's values, its exchanges as (request, response), and its own record."""

    row: dict[str, Any]
    exchanges: list[tuple[Record, Record]]
    record: Record


def digest(data: bytes) -> str:
    return "sha1:" + base64.b32encode(sha1(data).digest()).decode()


def by_fastwarc(path: Path) -> list[Record]:
    """Return the records of a file; a wrong block digest raises."""
    blocks: dict[str, bytes] = {}
    with path.open("rb") as file:
        for record in fastwarc.warc.ArchiveIterator(file, parse_http=False):
            assert record.record_id is not None
            blocks[record.record_id] = record.reader.read()
            assert record.headers["WARC-Block-Digest"] == digest(blocks[record.record_id])
    records = []
    with path.open("rb") as file:
        for record in fastwarc.warc.ArchiveIterator(file):
            assert record.record_id is not None
            fields = record.headers.to_dict()
            assert len(fields) == len(record.headers.to_tuples())
            block, body = blocks[record.record_id], record.reader.read()
            records.append(Record(fields["WARC-Type"], record.stream_pos, fields, block, body))
    assert len({record.id for record in records}) == len(records)
    return records


def by_warcio(path: Path) -> list[Record]:
    """Return the records of a file; a wrong digest raises.

    Of payloads that came in chunks warcio checks the digest with the chunks' framing, which is no part of the
    payload. Source: https://github.com/webrecorder/warcio/issues/74
    """
    records = []
    with path.open("rb") as file:
        raw = warcio.archiveiterator.ArchiveIterator(file, no_record_parse=True)
        blocks = [record.raw_stream.read() for record in raw]
    with path.open("rb") as file:
        found = warcio.archiveiterator.ArchiveIterator(file, check_digests=True)
        for record, block in zip(found, blocks, strict=True):
            body = record.raw_stream.read()
            problems = record.digest_checker.problems
            if record.rec_type == "response" and b"transfer-encoding" in block.lower():
                problems = [problem for problem in problems if not problem.startswith("payload")]
            assert problems == []
            fields = dict(record.rec_headers.headers)
            records.append(Record(record.rec_type, found.get_record_offset(), fields, block, body))
    return records


def archived(path: Path) -> list[Archived]:
    """Return the rows of a file in input order, put together from its records by their ids."""
    records = by_fastwarc(path)
    assert [record.kind for record in records[:1]] == ["warcinfo"]
    rows: list[Archived] = []
    exchanges: list[tuple[Record, Record]] = []
    waiting: Record | None = None
    for record in records:
        if record.kind == "request":
            waiting = record
        elif record.kind == "response":
            assert waiting is not None
            assert waiting.fields["WARC-Concurrent-To"] == record.id
            assert record.fields["WARC-Concurrent-To"] == waiting.id
            exchanges.append((waiting, record))
        elif record.kind == "metadata":
            last = exchanges[-1][1].id if exchanges else None
            assert record.fields.get("WARC-Concurrent-To") == last
            rows.append(Archived(json.loads(record.block), exchanges, record))
            exchanges = []
    assert exchanges == []
    return sorted(rows, key=lambda archived: int(archived.row["index"]))


def rows_of(path: Path) -> list[tuple[int, Found]]:
    """Return the rows with the content of their last responses."""
    rows = []
    for one in archived(path):
        row = one.row
        assert row["body"] is None
        body = one.exchanges[-1][1].body if one.exchanges else None
        rows.append((row["index"], Found(row["url"], row["status"], body, row["error"])))
    return rows


def record_at(path: Path, offset: int, length: int) -> bytes:
    """Return the block of the record at a place, as both readers find it, and as it is on its own."""
    with path.open("rb") as file:
        file.seek(offset)
        block: bytes = next(fastwarc.warc.ArchiveIterator(file, parse_http=False)).reader.read()
        file.seek(offset)
        record = next(warcio.archiveiterator.ArchiveIterator(file, no_record_parse=True))
        assert record.raw_stream.read() == block
        file.seek(offset)
        head, _, rest = gzip.decompress(file.read(length)).partition(b"\r\n\r\n")
    assert (head[:10], rest) == (b"WARC/1.1\r\n", block + b"\r\n\r\n")
    return block
