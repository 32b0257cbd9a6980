"""Bodies that keep their content coding, as the caller wants or as none was accepted, in every output."""

import gzip
from pathlib import Path
from typing import Any

import pytest

import hurtle
from hurtle.cli.main import main
from hurtle.errors import ConfigError
from hurtle.testing import Server
from tests.formats.raw_server import RawServer

OUTPUTS = ("out.jsonl", "out.parquet", "out.csv", "out.warc.gz", "out.sqlite", "out.duckdb", "files/")
IDENTITY = {"accept-encoding": "identity"}


def rows_of(out: str | Path) -> list[dict[str, Any]]:
    return sorted(hurtle.open_run(out), key=lambda row: int(row["index"]))


def requests_to(server: Server) -> list[Any]:
    url = server.url("/gzip/3000")
    return [
        url,
        hurtle.Request(url, decode_content=False),
        hurtle.Request(url, headers=IDENTITY),
        hurtle.Request(url, headers={"accept-encoding": "br, gzip"}),
        hurtle.Request(url, headers=IDENTITY, decode_content=True),
        server.url("/bytes/3000"),
    ]


CODED = [False, True, True, False, True, False]


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_output_has_the_body_and_says_what_it_is(
    name: str, tmp_path: Path, hurtle_server: Server
) -> None:
    requests, out = requests_to(hurtle_server), f"{tmp_path}/{name}"
    answers = hurtle.fetch(requests)
    plain = answers[0].content
    assert [gzip.decompress(one.content) == plain for one in answers if one.encoding_left] == [True] * 3
    hurtle.run(requests, out, format="parquet" if name == "files/" else None,
               bodies="apart" if name == "files/" else None)  # fmt: skip
    run, rows = hurtle.open_run(out), rows_of(out)
    assert [row["encoding_left"] for row in rows] == ["gzip" if coded else None for coded in CODED]
    assert [row["encoding_left"] for row in rows] == [one.encoding_left for one in answers]
    assert [row["content_encoding"] for row in rows] == ["gzip"] * 5 + [None]
    bodies = [None if name == "out.csv" else one.content for one in answers]
    assert [run.body(row) for row in rows] == bodies
    assert [row["bytes_body"] for row in rows] == [len(one.content) for one in answers]
    if name == "files/":
        # The type of what is inside says nothing about a file that is still compressed.
        assert [row["body_path"].endswith(".bin") for row in rows if row["encoding_left"]] == [True] * 3


@pytest.mark.parametrize("name", ["out.jsonl", "out.warc.gz", "files/"])
def test_a_refresh_compares_coded_bodies(name: str, tmp_path: Path, hurtle_server: Server) -> None:
    urls = [hurtle_server.url("/gzip/3000"), hurtle_server.url("/br/0")]
    form: dict[str, Any] = {}
    if name == "files/":
        form = {"format": "jsonl", "bodies": "apart"}
    hurtle.run(urls, f"{tmp_path}/{name}", decode_content=False, **form)
    hurtle.run(urls, tmp_path / "later.jsonl", since=f"{tmp_path}/{name}", decode_content=False)
    run, rows = hurtle.open_run(tmp_path / "later.jsonl"), rows_of(tmp_path / "later.jsonl")
    assert [row["change"] for row in rows] == ["unchanged", "unchanged"]
    assert run.body(rows[0]) == hurtle.fetch(urls, decode_content=False)[0].content


def test_layers_beyond_what_is_accepted_are_left(tmp_path: Path) -> None:
    inner = gzip.compress(b"inside")
    outer = gzip.compress(inner)
    coded = b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\nContent-Encoding: identity,, gzip\r\n\r\n" + outer
    with RawServer({"/": coded}) as server:
        hurtle.run([server.base], tmp_path / "a.warc.gz", headers={"accept-encoding": "gzip"}, retries=0)
    (row,) = rows_of(tmp_path / "a.warc.gz")
    assert row["encoding_left"] == "br"
    assert hurtle.open_run(tmp_path / "a.warc.gz").body(row) == inner


def test_a_run_is_resumed_only_with_the_same_decoding(tmp_path: Path, hurtle_server: Server) -> None:
    urls = [hurtle_server.url("/gzip/10")]
    hurtle.run(urls, f"{tmp_path}/parts/", decode_content=False)
    with pytest.raises(ConfigError, match="decode_content was False and is now True"):
        hurtle.run(urls, f"{tmp_path}/parts/")


def test_requests_that_decode_differently_are_not_the_same(hurtle_server: Server) -> None:
    url = hurtle_server.url("/gzip/3000")
    requests = [hurtle.Request(url, decode_content=decodes) for decodes in (None, False, False, True)]
    found = hurtle.fetch(requests, dedupe=True)
    assert [one.encoding_left for one in found] == [None, "gzip", "gzip", None]
    assert found.summary().copied == 1


def test_a_cell_of_a_table_says_whether_to_decode(tmp_path: Path, hurtle_server: Server) -> None:
    url = hurtle_server.url("/gzip/10")
    table = tmp_path / "list.csv"
    table.write_text(f"url,decode_content\n{url},\n{url},False\n{url},true\n{url},maybe\n")
    found = hurtle.fetch(table)
    assert [one.encoding_left for one in found] == [None, "gzip", None, None]
    assert "neither true nor false" in str(found[3].error)
    with pytest.raises(ValueError, match="decode_content takes True or False, not 'no'"):
        hurtle.Request(url, decode_content="no")  # type: ignore[arg-type]


def test_the_command_keeps_bodies_compressed_if_told_to(tmp_path: Path, hurtle_server: Server) -> None:
    for flags, left in (([], None), (["--no-decode-content"], "gzip")):
        out = tmp_path / f"{len(flags)}.jsonl"
        assert main(["fetch", hurtle_server.url("/gzip/3000"), "-q", "-o", str(out), *flags]) == 0
        assert [row["encoding_left"] for row in rows_of(out)] == [left]
