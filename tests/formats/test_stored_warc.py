"""Web archives read back by `open_run`: rows, places, bodies, damage; and retries of them."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import hurtle
from hurtle.errors import JournalError
from hurtle.formats.row_json import StoredRow
from hurtle.formats.warc import PLACE
from hurtle.formats.warc_reader import count_rows
from hurtle.formats.warc_record import record
from hurtle.runs import Run
from hurtle.testing import Server
from tests.formats.archives import archived, record_at
from tests.formats.raw_server import RawServer

PATHS = (
    "/bytes/5000", "/gzip/5000", "/deflate/5000", "/raw-deflate/5000", "/br/5000", "/zstd/5000",
    "/redirect/2", "/stream?chunks=3&size=700&ms=0", "/status/204", "/bytes/0",
    "/status/404?body=none", "/close", "/redirect-to?url=/close",
)  # fmt: skip


def run_both(folder: Path, urls: list[str], **options: Any) -> tuple[Run, Run]:
    """Return the runs of a list to an archive and to JSON lines."""
    for name in ("out.warc.gz", "out.jsonl"):
        hurtle.run(urls, folder / name, retries=0, **options)
    return hurtle.open_run(folder / "out.warc.gz"), hurtle.open_run(folder / "out.jsonl")


def by_index(rows: Iterable[StoredRow]) -> list[StoredRow]:
    return sorted(rows, key=lambda row: int(row["index"]))


def test_a_row_says_where_its_response_is(tmp_path: Path, hurtle_server: Server) -> None:
    archive, lines = run_both(tmp_path, [hurtle_server.url(path) for path in PATHS])
    out = tmp_path / "out.warc.gz"
    assert archive.rows == len(PATHS)
    for row, line, found in zip(by_index(archive), by_index(lines), archived(out), strict=True):
        assert row["body"] is None
        same = ("index", "id", "url", "final_url", "status", "error", "bytes_body", "content_encoding")
        assert [row[name] for name in same] == [line[name] for name in same]
        if not found.exchanges:
            assert [row[name] for name in PLACE] == [None, None, None]
            continue
        response = found.exchanges[-1][1]
        assert (row["warc_file"], row["warc_offset"]) == ("out.warc.gz", response.offset)
        assert record_at(out, row["warc_offset"], row["warc_length"]) == response.block


def test_every_way_of_reading_has_the_places(tmp_path: Path, hurtle_server: Server) -> None:
    archive, _ = run_both(tmp_path, [hurtle_server.url(path) for path in PATHS])
    rows = by_index(archive)
    table = archive.to_arrow()
    assert table.schema.names[-3:] == list(PLACE)
    assert table.column("warc_offset").to_pylist() == [row["warc_offset"] for row in rows]
    lines = [json.loads(line) for block in archive.lines() for line in block.splitlines()]
    assert [line["warc_length"] for line in by_index(lines)] == [row["warc_length"] for row in rows]
    assert archive.where("status = 404") == [PATHS.index("/status/404?body=none")]


def test_a_body_is_that_of_the_result_table(tmp_path: Path, hurtle_server: Server) -> None:
    archive, lines = run_both(tmp_path, [hurtle_server.url(path) for path in PATHS])
    bodies = [lines.body(row) for row in by_index(lines)]
    assert [archive.body(row) for row in by_index(archive)] == bodies
    assert bodies[PATHS.index("/close")] is None
    assert bodies[PATHS.index("/status/204")] == b""


def test_a_body_is_read_from_the_part_that_its_row_names(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hurtle.sinks.parts.PART_ROWS", 2)
    urls = [hurtle_server.url(f"/bytes/{1000 + n}?seed={n}") for n in range(20)]
    hurtle.run(urls, f"{tmp_path}/out/", format="warc", rate_limit="100/s")
    run = hurtle.open_run(tmp_path / "out")
    assert len({row["warc_file"] for row in run}) > 1
    contents = [response.content for response in hurtle.fetch(urls)]
    assert [run.body(row) for row in by_index(run)] == contents


def test_a_body_over_http2_is_that_of_the_result_table(tmp_path: Path, hurtle_server: Server) -> None:
    urls = [hurtle_server.tls_url(path) for path in PATHS]
    archive, lines = run_both(tmp_path, urls, verify=hurtle_server.ca_path)
    assert [archive.body(row) for row in by_index(archive)] == [lines.body(row) for row in by_index(lines)]


def test_a_body_that_was_cut_ends_where_it_was_cut(tmp_path: Path, hurtle_server: Server) -> None:
    urls = [hurtle_server.url(path) for path in PATHS]
    archive, lines = run_both(tmp_path, urls, max_body_size=1000, on_oversize="truncate")
    bodies = [lines.body(row) for row in by_index(lines)]
    assert bodies[PATHS.index("/gzip/5000")] == bodies[PATHS.index("/br/5000")]
    assert [len(body or b"") for body in bodies].count(1000) == 7
    assert [archive.body(row) for row in by_index(archive)] == bodies


def test_a_body_that_is_not_in_its_coding_is_empty(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"
    with RawServer({"/": answer}) as server:
        archive, lines = run_both(tmp_path, [server.base + "/"])
    assert [row["error"] for row in archive] == ["decode.corrupt"]
    assert [archive.body(row) for row in archive] == [lines.body(row) for row in lines] == [b""]


def test_a_place_that_holds_no_response_is_said(tmp_path: Path, hurtle_server: Server) -> None:
    archive, _ = run_both(tmp_path, [hurtle_server.url("/bytes/5")])
    (row,) = archive
    for wrong in ({"warc_offset": 0}, {"warc_offset": row["warc_offset"] + 1}, {"warc_length": 20}):
        with pytest.raises(JournalError, match=r"is damaged: the (record|gzip member) at byte"):
            archive.body(row | wrong)


@pytest.mark.parametrize("name", ["out.warc.gz", "out/"])
def test_a_retry_takes_over_what_it_does_not_ask_again(
    tmp_path: Path, hurtle_server: Server, name: str
) -> None:
    urls = [hurtle_server.url(f"/flaky?times={n % 2}&status=503&key={n}") for n in range(6)]
    out = f"{tmp_path}/{name}"
    hurtle.run(urls, out, format="warc", retries=0)
    files = [tmp_path / "out.warc.gz"] if name == "out.warc.gz" else [*Path(out).iterdir()]
    before = {one.row["index"]: one for path in files if path.suffix == ".gz" for one in archived(path)}
    assert hurtle.open_run(out).failed == 3

    assert hurtle.retry(out, urls, retries=0).ok == 3

    run = hurtle.open_run(out)
    assert (run.rows, run.failed) == (6, 0)
    folder = tmp_path if name == "out.warc.gz" else Path(out)
    for row in run:
        block = record_at(folder / row["warc_file"], row["warc_offset"], row["warc_length"])
        assert block.startswith(b"HTTP/1.1 200 ")
        taken_over = before[row["index"]].exchanges[0][1].block
        assert (block == taken_over) == (row["index"] % 2 == 0)
    if name == "out.warc.gz":
        assert [one.row["index"] for one in archived(tmp_path / name)] == list(range(6))
        assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_length_of_thousands_of_digits_is_damage(tmp_path: Path) -> None:
    out = tmp_path / "out.warc.gz"
    out.write_bytes(gzip.compress(b"WARC/1.1\r\nContent-Length: %b\r\n\r\n" % (b"9" * 5_000)))
    assert count_rows(out) == 0


def test_a_damaged_file_has_fewer_rows_and_reading_it_says_so(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.warc.gz"
    hurtle.run([hurtle_server.url(f"/bytes/100?seed={n}") for n in range(50)], out)
    whole = out.read_bytes()
    assert count_rows(out) == 50
    for damaged, words in (
        (whole[:-20], "is cut off"),
        (whole[:3000] + b"\xff" * 40 + whole[3040:], "is damaged"),
        (whole + gzip.compress(b"WARC/1.1\r\nContent-Length: 5\r\n\r\nfour\r\n\r\n"), "not a complete WARC"),
        (whole + gzip.compress(b"{}\n"), "not a complete WARC"),
    ):
        out.write_bytes(damaged)
        assert count_rows(out) < 50 or damaged.startswith(whole)
        with pytest.raises(JournalError, match=words):
            list(hurtle.open_run(out))


def test_records_of_somebody_else_are_no_rows(tmp_path: Path) -> None:
    out = tmp_path / "out.warc.gz"
    mine = record("metadata", b'{"index":0,"body":null,"fetched_at":null,"meta":null}', "application/json")
    theirs = [
        record("metadata", b"fetchTimeMs: 17\r\n", "application/warc-fields"),
        record("resource", b"{}", "application/json", [("WARC-Target-URI", "urn:x")]),
        record("response", b"HTTP/1.1 200 OK\r\n\r\n", "application/http;msgtype=response"),
    ]
    out.write_bytes(b"".join([*theirs, mine]))
    (row,) = hurtle.open_run(out)
    assert (row["index"], row["warc_offset"]) == (0, None)


def body_and_start(folder: Path, answer: bytes) -> tuple[bytes | None, bytes, StoredRow]:
    """Return the body that an archive has of an answer, the start of the stored response, and the row."""
    out = folder / "out.warc.gz"
    with RawServer({"/": answer}) as server:
        hurtle.run([server.base + "/"], out, retries=0)
    run = hurtle.open_run(out)
    (row,) = run
    response = record_at(out, row["warc_offset"], row["warc_length"])
    return run.body(row), response[:9], row


@pytest.mark.parametrize("blank", [b"", b"\n", b"\r\n", b"\r\n\r\n"])
def test_h27_blank_lines_before_the_status_line_are_not_archived(tmp_path: Path, blank: bytes) -> None:
    answer = blank + b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
    body, start, row = body_and_start(tmp_path, answer)
    assert (row["ok"], body, start) == (True, b"hello", b"HTTP/1.1 ")


@pytest.mark.parametrize(
    "codings",
    [b"chunked, chunked", b"chunked\r\nTransfer-Encoding: chunked", b"Chunked ,", b"\r\n chunked"],
)
def test_h29_chunked_that_is_named_twice_is_undone_once(tmp_path: Path, codings: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: %b\r\n\r\n5\r\nhello\r\n0\r\n\r\n" % codings
    body, _, row = body_and_start(tmp_path, answer)
    assert (row["ok"], body) == (True, b"hello")


def test_h32_a_part_of_a_coded_body_is_read_back_as_it_came(tmp_path: Path) -> None:
    part = gzip.compress(b"page" * 100)[5:15]
    answer = b"HTTP/1.1 206 Partial Content\r\ncontent-encoding: gzip\r\ncontent-length: 10\r\n\r\n" + part
    body, _, row = body_and_start(tmp_path, answer)
    assert (row["truncated"], row["bytes_body"], body) == ("part", 10, part)
