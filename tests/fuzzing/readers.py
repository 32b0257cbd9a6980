"""The readers of files, for fuzzing: each function takes any bytes, and raises if a property is broken.

The Rust side has the same in `crates/engine/src/fuzzing`.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hurtle._engine import error_codes, identify
from hurtle.errors import ConfigError, InvalidRequest, JournalError
from hurtle.file_names import MOST_BYTES, name_of_header, name_of_url, safe_name
from hurtle.formats.warc_reader import DamagedWarc, WarcRow, read_rows, response_at
from hurtle.formats.warc_record import ROW_TYPE, record, unchunked
from hurtle.models import BadRow, Request, Row
from hurtle.outputs.journal import Journal
from hurtle.outputs.layout import JOURNAL
from hurtle.outputs.record import RUN, Identity, read_record, record_of, refuse_another
from hurtle.sources.base import TEXT_SHOWN, Source
from hurtle.sources.jsonl import JsonlSource
from hurtle.sources.table import CsvSource

FOLDER = Path(tempfile.mkdtemp(prefix="hurtle-fuzz-"))
"""Where the inputs of this process lie, one after the other."""

ESCAPED = 4
r"""Characters that a byte becomes at most when a bad row shows it: \xNN."""

CODES = error_codes()


def jsonl(data: bytes) -> None:
    """Check a list of JSON lines: every line is a row, a bad one says which and why, twice the same."""
    path = str(_written("list.jsonl", data))
    rows, skipped = _rows(JsonlSource(path))
    assert (rows, skipped) == _rows(JsonlSource(path))
    lines = data.split(b"\n")
    assert len(rows) + skipped == len(lines) - (not lines[-1])
    assert JsonlSource(path).total == len(rows)
    _can_be_sent(rows)


def csv(data: bytes) -> None:
    """Check a table in CSV: it has a url column or is refused, and each row is a request or says why not."""
    path = str(_written("list.csv", data))
    try:
        source = CsvSource(path)
    except ConfigError:
        return
    rows, skipped = _rows(source)
    assert (rows, skipped) == _rows(CsvSource(path))
    _can_be_sent(rows)


def _rows(source: Source) -> tuple[list[Row], int]:
    try:
        rows = list(source)
    finally:
        source.close()
    for row in rows:
        if isinstance(row, BadRow):
            assert row.code.startswith("input.")
            assert row.line is None or row.line > 0
            assert len(row.text) <= TEXT_SHOWN * ESCAPED
    return rows, source.skipped


def _can_be_sent(rows: list[Row]) -> None:
    """Check that the engine takes each row, or refuses it for itself."""
    for found in identify(rows):
        assert found in CODES if isinstance(found, str) else len(found) == 3
    for row in rows:
        if isinstance(row, Request):
            with suppress(InvalidRequest):
                assert isinstance(row.body(), bytes | None)
                assert isinstance(row.meta_json(), str | None)


def warc(data: bytes) -> None:
    """Check a WARC file: complete rows, in order and within the file, up to the place where it is damaged.

    Each row's records can be read again by themselves, and so can its response.
    """
    at, rows = 0, []
    try:
        for row in read_rows(io.BytesIO(data)):
            rows.append(row)
            assert at <= row.place.offset
            at = row.place.offset + row.place.length
            assert at <= len(data)
    except DamagedWarc:
        pass
    for row in rows:
        piece = data[row.place.offset :][: row.place.length]
        (again,) = read_rows(io.BytesIO(piece))
        assert again.line == row.line
        if row.response is not None:
            response_at(io.BytesIO(data), row.response)


def warc_round_trip(data: bytes) -> None:
    """Check that a response and its row come back from a WARC file as they were written."""
    line, _, response = data.partition(b"\n")
    answered = record("response", response, "application/http;msgtype=response", id="<urn:uuid:1>")
    concurrent = [("WARC-Concurrent-To", "<urn:uuid:1>")]
    row = record("metadata", line, ROW_TYPE, concurrent)
    info = record("warcinfo", b"software: x\r\n", "application/warc-fields")
    file = io.BytesIO(info + answered + row)
    (found,) = read_rows(file)
    assert isinstance(found, WarcRow)
    assert found.line == line
    assert found.response is not None
    assert response_at(file, found.response) == response
    pieces = (response[at : at + 7] for at in range(0, len(response), 7))
    coded = b"".join(b"%x;x=y\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    assert unchunked(coded + b"0\r\n\r\n") == response
    assert response.startswith(unchunked(coded[: len(coded) // 2]))
    assert len(unchunked(data)) <= len(data)


def run_record(data: bytes) -> None:
    """Check the record of a run and its journal: read, or refused in words that name the file."""
    written, _, journal = data.partition(b"\n\n")
    _written(RUN, written)
    _written(JOURNAL, journal)
    now = record_of(Identity(input={"rows": 1, "sha256": "0"}), "jsonl")
    for check in (_record_is_read, _journal_is_read):
        with suppress(ConfigError, JournalError):
            check(now)


def _record_is_read(now: dict[str, object]) -> None:
    before = read_record(FOLDER, "the output")
    assert before is not None
    refuse_another(before, now, "auto", "the output")
    assert before["options"] == now["options"]


def _journal_is_read(_: dict[str, object]) -> None:
    for part in Journal(FOLDER / JOURNAL).parts():
        # It is written as it was read, and read as it is written.
        (FOLDER / "again").unlink(missing_ok=True)
        again = Journal(FOLDER / "again")
        again.append(json.loads(json.dumps(part.entry)))
        again.close()
        assert again.parts() == [part]


def file_names(data: bytes) -> None:
    """Check the name of a file, from a URL and a header: it stays in its folder, and is the same again."""
    url, _, header = data.decode("utf-8", "surrogateescape").partition("\n")
    for name in (name_of_url(url), name_of_header(header), safe_name(header)):
        if name is not None:
            assert name not in ("", ".", "..")
            assert not name.startswith(".")
            assert Path(name).name == name
            assert not set(name) & set("/\\:\0\r\n")
            assert len(name.encode()) <= MOST_BYTES
            assert safe_name(name) == name


def _written(name: str, data: bytes) -> Path:
    path = FOLDER / name
    path.write_bytes(data)
    return path


READERS: dict[str, Callable[[bytes], None]] = {
    one.__name__: one for one in (jsonl, csv, warc, warc_round_trip, run_record, file_names)
}
"""The readers, by the names of their seeds."""
