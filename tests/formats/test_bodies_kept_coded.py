"""`bodies="coded"`: the output has bodies as the server compressed them, and reading the run undoes it."""

import gzip
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

import hurtle
from hurtle.cli.main import main
from hurtle.errors import ConfigError, JournalError
from hurtle.testing import Server
from tests.formats.raw_server import RawServer

OUTPUTS = ("out.jsonl", "out.jsonl.gz", "out.parquet", "parts/", "out.sqlite", "out.duckdb")
TEXT = " ".join(f"Grüße {number * number}" for number in range(1_000))
PLAIN = TEXT.encode()
PACKED = gzip.compress(PLAIN, mtime=0)


def answer(body: bytes, *fields: bytes) -> bytes:
    head = [b"HTTP/1.1 200 OK", b"content-length: %d" % len(body), b"content-type: text/plain; charset=utf-8"]
    return b"\r\n".join([*head, *fields, b"", body])


GZIP = b"content-encoding: gzip"
PAGES = {
    "/gzip": answer(PACKED, GZIP),
    "/twice": answer(gzip.compress(PACKED, mtime=0), b"content-encoding: gzip, x-gzip"),
    "/plain": answer(PLAIN),
    "/empty": answer(b"", GZIP),
    "/unknown": answer(PACKED, b"content-encoding: exi, gzip"),
    "/bad": answer(b"no gzip at all", GZIP),
    "/short": answer(PACKED[:-20], GZIP),
}
WHOLE = ("/gzip", "/twice", "/plain", "/empty", "/unknown")
CODINGS = ["gzip", "gzip, gzip", None, None, "gzip"]
BODIES = [PLAIN, PLAIN, PLAIN, b"", PLAIN]


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer(PAGES) as server:
        yield server


def urls_of(server: RawServer, names: tuple[str, ...] = WHOLE) -> list[str]:
    return [server.base + name for name in names]


def in_order(rows: Any) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: int(row["index"]))


@pytest.mark.parametrize("name", OUTPUTS)
def test_reading_a_run_undoes_what_the_server_compressed(
    name: str, tmp_path: Path, server: RawServer
) -> None:
    out = f"{tmp_path}/{name}"
    hurtle.run(urls_of(server), out, bodies="coded", format="parquet" if name == "parts/" else None)
    run = hurtle.open_run(out)
    rows = in_order(run)
    assert [row["body"] for row in rows] == BODIES
    assert [row["bytes_body"] for row in rows] == [len(body) for body in BODIES]
    assert [row["body_encoding"] for row in rows] == [None] * len(rows)
    assert [row["encoding_left"] for row in rows] == [None] * 4 + ["exi"]
    assert [row["content_encoding"] for row in rows][:3] == ["gzip", "gzip, x-gzip", None]
    assert [run.body(row) for row in rows] == BODIES
    assert run.text(rows[0]) == TEXT
    table = run.to_arrow()
    assert table["body"].to_pylist() == BODIES
    assert table["bytes_body"].to_pylist() == [len(body) for body in BODIES]
    assert sum(line.count(b'"body":"Gr') for line in run.lines()) == 4
    assert [row["body"] for row in in_order(run.select("ok"))] == BODIES


def test_the_file_itself_has_bodies_as_they_came(tmp_path: Path, server: RawServer) -> None:
    hurtle.run(urls_of(server), tmp_path / "out.parquet", bodies="coded")
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet").sort_by("index")
    assert table["body_encoding"].to_pylist() == CODINGS
    bodies = table["body"].to_pylist()
    assert bodies[0] == PACKED
    assert gzip.decompress(gzip.decompress(bodies[1])) == PLAIN
    assert bodies[2:4] == [PLAIN, b""]
    assert table["bytes_body"].to_pylist() == [len(body) for body in bodies]
    hurtle.run(urls_of(server), tmp_path / "out.sqlite", bodies="coded")
    with closing(sqlite3.connect(tmp_path / "out.sqlite")) as database:
        query = 'SELECT body_encoding, body FROM results ORDER BY "index"'
        assert database.execute(query).fetchall() == list(zip(CODINGS, bodies, strict=True))


def test_without_it_the_column_is_null(tmp_path: Path, server: RawServer) -> None:
    hurtle.run(urls_of(server), tmp_path / "out.parquet", bodies="inline")
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet").sort_by("index")
    assert table["body_encoding"].null_count == len(table)
    assert table["body"].to_pylist() == BODIES


def test_a_body_that_is_not_decoded_by_request_stays_so(tmp_path: Path, server: RawServer) -> None:
    requests = [hurtle.Request(server.base + "/gzip", decode_content=decodes) for decodes in (False, True)]
    hurtle.run(requests, tmp_path / "out.jsonl", bodies="coded", decode_content=False)
    run = hurtle.open_run(tmp_path / "out.jsonl")
    rows = in_order(run)
    assert [row["encoding_left"] for row in rows] == ["gzip", None]
    assert [run.body(row) for row in rows] == [PACKED, PLAIN]


def test_a_body_that_cannot_be_decoded_is_kept_and_says_so(tmp_path: Path, server: RawServer) -> None:
    summary = hurtle.run(
        urls_of(server, ("/bad", "/short", "/gzip")), tmp_path / "out.parquet", bodies="coded"
    )
    assert summary.all_ok
    run = hurtle.open_run(tmp_path / "out.parquet")
    rows = in_order(run)
    assert [row["body"] for row in rows] == [b"no gzip at all", PACKED[:-20], PLAIN]
    assert [row["body_encoding"] for row in rows] == ["gzip", "gzip", None]
    assert run.to_arrow()["body_encoding"].to_pylist() == ["gzip", "gzip", None]
    for row, words in zip(rows, ("gzip", "ends early"), strict=False):
        with pytest.raises(JournalError, match=rf"body of row {row['index']}, kept as gzip, .*{words}"):
            run.body(row)


def test_what_a_body_may_become_has_a_limit(tmp_path: Path, server: RawServer) -> None:
    out = tmp_path / "out.jsonl"
    hurtle.run(urls_of(server, ("/gzip",)), out, bodies="coded")
    (row,) = hurtle.open_run(out, max_body_size=len(PLAIN))
    assert row["body"] == PLAIN
    run = hurtle.open_run(out, max_body_size=len(PLAIN) - 1)
    (row,) = run
    assert (row["body"], row["body_encoding"]) == (PACKED, "gzip")
    with pytest.raises(JournalError, match="max_body_size"):
        run.body(row)
    with pytest.raises(ConfigError, match="max_body_size"):
        hurtle.open_run(out, max_body_size=0)


def test_a_body_that_was_cut_gives_what_there_is(tmp_path: Path, server: RawServer) -> None:
    cut = len(PACKED) - 20
    hurtle.run(
        urls_of(server, ("/gzip",)), tmp_path / "out.jsonl",
        bodies="coded", max_body_size=cut, on_oversize="truncate",
    )  # fmt: skip
    (row,) = hurtle.open_run(tmp_path / "out.jsonl")
    assert row["truncated"] == "length"
    assert len(row["body"]) > 1_000
    assert PLAIN.startswith(row["body"])


@pytest.mark.parametrize(
    ("name", "form"), [("out.csv", None), ("out.warc.gz", None), ("parts/", "files"), ("out.jsonl", "files")]
)
def test_an_output_without_room_for_them_is_refused(name: str, form: str | None, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bodies='coded' does not fit"):
        hurtle.run([], f"{tmp_path}/{name}", bodies="coded", format=form)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["parts/", "out.sqlite"])
def test_a_run_is_resumed_only_with_bodies_as_before(name: str, tmp_path: Path, server: RawServer) -> None:
    out = f"{tmp_path}/{name}"
    hurtle.run(urls_of(server), out, bodies="coded")
    with pytest.raises(ConfigError, match="bodies was 'coded' and is now 'inline'"):
        hurtle.run(urls_of(server), out)
    assert hurtle.run(urls_of(server), out, bodies="coded").resumed == len(WHOLE)


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet", "parts/", "out.sqlite"])
def test_a_retry_keeps_bodies_as_the_run_does(name: str, tmp_path: Path, server: RawServer) -> None:
    out = f"{tmp_path}/{name}"
    hurtle.run(urls_of(server), out, bodies="coded", format="jsonl" if name == "parts/" else None)
    assert hurtle.retry(out, urls_of(server), where='"index" < 2').requests == 2
    run = hurtle.open_run(out)
    assert [run.body(row) for row in in_order(run)] == BODIES
    stored = [row for part in run.parts for chunk in part.stored.rows() for row in chunk]
    newest = {row["index"]: row["body_encoding"] for row in stored}
    assert [newest[index] for index in range(len(WHOLE))] == CODINGS


@pytest.mark.parametrize(("before", "now"), [("coded", None), (None, "coded"), ("coded", "coded")])
def test_a_refresh_compares_what_is_inside(before: Any, now: Any, tmp_path: Path, server: RawServer) -> None:
    names = ("/gzip", "/plain", "/bad")
    hurtle.run(urls_of(server, names), tmp_path / "old.parquet", bodies=before, retries=0)
    hurtle.run(urls_of(server, names), tmp_path / "new.parquet", bodies=now, since=tmp_path / "old.parquet",
               retries=0)  # fmt: skip
    run = hurtle.open_run(tmp_path / "new.parquet")
    rows = in_order(run)
    assert [row["change"] for row in rows[:2]] == ["unchanged", "unchanged"]
    assert [run.body(row) for row in rows[:2]] == [PLAIN, PLAIN]


def test_the_command_keeps_them_and_shows_them(
    tmp_path: Path, hurtle_server: Server, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    url, out = hurtle_server.url("/gzip/3000"), str(tmp_path / "out.parquet")
    assert main(["fetch", url, "-q", "-o", out, "--bodies", "coded"]) == 0
    assert pyarrow.parquet.read_table(out)["body_encoding"].to_pylist() == ["gzip"]
    plain = hurtle.fetch([url])[0].text
    assert main(["cat", out]) == 0
    printed = capfdbinary.readouterr().out
    assert plain.encode()[:50] in printed
    assert b'"body_encoding":null' in printed
