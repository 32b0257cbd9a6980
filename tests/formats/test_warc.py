"""Web archives read back by fastwarc and warcio, and compared with what went over the wire."""

import gzip
import json
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import fastwarc.warc
import pytest
import warcio.archiveiterator

import hurtle
from hurtle.formats.warc_reader import count_rows
from hurtle.testing import Server
from tests.formats.archives import Archived, archived, by_fastwarc, by_warcio, digest, record_at, rows_of
from tests.formats.raw_server import RawServer
from tests.outputs.breaking import (
    check_killed,
    check_parts,
    check_read_back,
    check_resumed,
    options,
)

BINARY = bytes(range(256)) * 3
GZIPPED = gzip.compress(b"<p>caf\xc3\xa9</p>" * 100, mtime=0)
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"

ANSWERS = {
    "/plain": b"HTTP/1.1 200 Fine, thanks\r\nX-CaSe: 1\r\nx-case:2 \r\nContent-Length: 768\r\n\r\n" + BINARY,
    "/gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
    % (len(GZIPPED), GZIPPED),
    "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
    b"4;name=value\r\nWiki\r\n5\r\npedia\r\n0\r\nX-Trailer: 1\r\n\r\n",
    "/chunked-gzip": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-encoding: gzip\r\n\r\n"
    b"a\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (GZIPPED[:10], len(GZIPPED) - 10, GZIPPED[10:]),
    "/close": b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end",
    "/interim": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "/head": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nTransfer-Encoding: chunked\r\n\r\n",
    "/204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/304": b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 10\r\n\r\n',
    "/post": b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone",
    "/from": b"HTTP/1.1 302 Found\r\nLocation: /to\r\nContent-Length: 5\r\n\r\nmoved",
    "/to": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere",
    "/cut": CUT,
}
"""What the server sends, byte for byte."""

SEEN = ANSWERS | {"/interim": ANSWERS["/interim"].partition(b"\r\n\r\n")[2]}
"""What is kept of it."""

PAYLOADS = {
    "/plain": BINARY, "/gzip": GZIPPED, "/chunked": b"Wikipedia", "/chunked-gzip": GZIPPED,
    "/close": b"until the end", "/interim": b"ok", "/head": b"", "/204": b"", "/304": b"", "/post": b"none",
    "/from": b"moved", "/to": b"here", "/cut": b"half",
}  # fmt: skip
"""Bodies without the transfer coding."""

OTHER: dict[str, dict[str, Any]] = {
    "/head": {"method": "HEAD"},
    "/304": {"headers": {"If-None-Match": '"1"'}},
    "/post": {"method": "POST", "content": BINARY, "headers": {"Authorization": "Bearer secret"}},
}


def run_raw(out: Path) -> tuple[RawServer, dict[str, Archived]]:
    """Request every answer; return the server, and the rows by path."""
    with RawServer(ANSWERS) as server:
        requests: list[dict[str, Any]] = [
            {"url": server.base + path} | OTHER.get(path, {}) for path in ANSWERS if path != "/to"
        ]
        hurtle.run(requests, out, **options())
    rows = archived(out)
    assert [one.row["url"] for one in rows] == [one["url"] for one in requests]
    return server, {one.row["url"].removeprefix(server.base): one for one in rows}


def test_every_row_is_read_back(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.warc.gz"
    check_read_back(hurtle_server, out, lambda: rows_of(out))


@pytest.mark.slow
def test_an_interrupted_run_is_gone_on_with(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.warc.gz"
    check_resumed(hurtle_server, out, lambda: rows_of(out))
    # Two parts, each complete on its own.
    assert [record.kind for record in by_fastwarc(out)].count("warcinfo") == 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_run_is_gone_on_with(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.warc.gz"
    check_killed(hurtle_server, tmp_path, out, lambda: rows_of(out))


@pytest.mark.slow
def test_parts_stay_in_a_folder(tmp_path: Path, hurtle_server: Server) -> None:
    check_parts(hurtle_server, tmp_path / "out", "warc", rows_of)
    for row in hurtle.open_run(tmp_path / "out"):
        assert (row["warc_file"] is None) == (row["status"] is None)
        if row["status"] is not None:
            block = record_at(tmp_path / "out" / row["warc_file"], row["warc_offset"], row["warc_length"])
            assert block.startswith(b"HTTP/1.1 %d " % row["status"])


def test_bytes_are_kept_as_they_were_sent_and_received(tmp_path: Path) -> None:
    server, rows = run_raw(tmp_path / "out.warc.gz")
    for path, one in rows.items():
        hops = ["/from", "/to"] if path == "/from" else [path]
        assert [response.url for _, response in one.exchanges] == [server.base + hop for hop in hops]
        for hop, (request, response) in zip(hops, one.exchanges, strict=True):
            assert request.block == server.received[hop], hop
            assert response.block == SEEN[hop], hop
            assert request.url == response.url
            assert response.fields["Content-Type"] == "application/http;msgtype=response"
            assert request.fields["Content-Type"] == "application/http;msgtype=request"
            assert response.fields["WARC-IP-Address"] == request.fields["WARC-IP-Address"] == "127.0.0.1"
            assert request.fields["WARC-Date"] == response.fields["WARC-Date"]
        assert one.exchanges[-1][1].fields["WARC-Date"] == one.row["fetched_at"]
        assert one.record.fields["WARC-Date"] == one.row["fetched_at"]
        assert one.record.url == one.exchanges[-1][1].url


def test_digests_are_of_blocks_and_of_payloads_without_the_transfer_coding(tmp_path: Path) -> None:
    _, rows = run_raw(tmp_path / "out.warc.gz")
    found = {
        response.url.rpartition("/")[2]: (request.fields, response.fields)
        for one in rows.values()
        for request, response in one.exchanges
    }
    assert {f"/{path}": response["WARC-Payload-Digest"] for path, (_, response) in found.items()} == {
        path: digest(payload) for path, payload in PAYLOADS.items()
    }
    # Only a request with a body has a payload.
    assert found["post"][0]["WARC-Payload-Digest"] == digest(BINARY)
    assert sum("WARC-Payload-Digest" in request for request, _ in found.values()) == 1


def test_readers_undo_the_codings(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.warc.gz"
    paths = ["/bytes/5000", "/gzip/5000", "/deflate/5000", "/br/5000", "/stream?chunks=7&size=500&ms=0"]
    responses = hurtle.fetch([hurtle_server.url(path) for path in paths])
    contents = {response.url: response.content for response in responses}
    hurtle.run(list(contents), out)
    with out.open("rb") as file:
        answers = fastwarc.warc.ArchiveIterator(file, fastwarc.warc.response, auto_decode="all")
        found = {record.headers["WARC-Target-URI"]: record.reader.read() for record in answers}
    assert found == contents
    with out.open("rb") as file:
        for record in warcio.archiveiterator.ArchiveIterator(file):
            url = record.rec_headers["WARC-Target-URI"]
            if record.rec_type == "response" and "/br/" not in url:  # this brotli is newer than warcio knows
                assert record.content_stream().read() == contents[url]


def test_warcio_finds_the_same_and_every_digest_holds(tmp_path: Path) -> None:
    run_raw(tmp_path / "out.warc.gz")
    assert by_warcio(tmp_path / "out.warc.gz") == by_fastwarc(tmp_path / "out.warc.gz")


def test_the_row_is_that_of_the_result_table(tmp_path: Path, hurtle_server: Server) -> None:
    requests: list[dict[str, Any]] = [
        {"url": hurtle_server.url("/bytes/100"), "id": "a", "meta": {"n": 1}},
        {"url": "nonsense"},
    ]
    hurtle.run(requests, tmp_path / "out.warc.gz")
    hurtle.run(requests, tmp_path / "out.jsonl")
    lines = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    as_lines = sorted(lines, key=lambda row: int(row["index"]))
    for one, line in zip(archived(tmp_path / "out.warc.gz"), as_lines, strict=True):
        assert list(one.row) == list(line)
        differs = {name for name in line if line[name] != one.row[name]}
        assert {name for name in differs if not name.startswith("t_")} <= {"body", "fetched_at", "headers"}
        assert one.row["body"] is None


def test_a_request_without_a_response_has_its_row_alone(tmp_path: Path, hurtle_server: Server) -> None:
    urls = [hurtle_server.url("/close"), "http://name.invalid/", "nonsense"]
    hurtle.run(urls, tmp_path / "out.warc.gz", retries=0)
    rows = archived(tmp_path / "out.warc.gz")
    assert [one.row["error"] for one in rows] == ["protocol.empty", "dns.not_found", "input.url"]
    assert all(one.exchanges == [] and "WARC-Target-URI" not in one.record.fields for one in rows)


@pytest.mark.parametrize("on_oversize", ["truncate", "error"])
def test_a_body_that_is_too_long_is_marked(tmp_path: Path, hurtle_server: Server, on_oversize: str) -> None:
    more: dict[str, Any] = {"max_body_size": 1000, "on_oversize": on_oversize}
    hurtle.run([hurtle_server.url("/stream?chunks=50&size=5000&ms=0")], tmp_path / "out.warc.gz", **more)
    ((_, response),) = archived(tmp_path / "out.warc.gz")[0].exchanges
    assert response.fields["WARC-Truncated"] == "length"
    assert len(response.block) < 250_000


def test_a_body_that_ends_early_is_marked(tmp_path: Path) -> None:
    _, rows = run_raw(tmp_path / "out.warc.gz")
    assert rows["/cut"].row["error"] == "truncated.disconnect"
    assert rows["/cut"].exchanges[0][1].fields["WARC-Truncated"] == "disconnect"
    assert sum("WARC-Truncated" in one.exchanges[-1][1].fields for one in rows.values()) == 1


def test_http2_is_written_as_http1_and_says_so(tmp_path: Path, hurtle_server: Server) -> None:
    urls = [hurtle_server.tls_url("/redirect/1"), hurtle_server.tls_url("/gzip/5000")]
    hurtle.run(urls, tmp_path / "out.warc.gz", verify=hurtle_server.ca_path)
    redirected, gzipped = archived(tmp_path / "out.warc.gz")
    assert [one.row["http_version"] for one in (redirected, gzipped)] == ["2", "2"]
    for request, response in redirected.exchanges + gzipped.exchanges:
        assert request.fields["WARC-Protocol"] == response.fields["WARC-Protocol"] == "h2"
        assert request.block.split(b"\r\n")[0].endswith(b" HTTP/1.1")
        assert response.block.startswith(b"HTTP/1.1 ")
    assert [response.block[9:12] for _, response in redirected.exchanges] == [b"302", b"200"]
    ((_, response),) = gzipped.exchanges
    payload = response.block.partition(b"\r\n\r\n")[2]
    assert response.fields["WARC-Payload-Digest"] == digest(payload)
    assert len(gzip.decompress(payload)) == 5000
    assert by_warcio(tmp_path / "out.warc.gz") == by_fastwarc(tmp_path / "out.warc.gz")


def test_http2_in_the_clear_says_so(tmp_path: Path, hurtle_server: Server) -> None:
    hurtle.run([hurtle_server.url("/bytes/1")], tmp_path / "out.warc.gz", http2=True)
    ((request, response),) = archived(tmp_path / "out.warc.gz")[0].exchanges
    assert request.fields["WARC-Protocol"] == response.fields["WARC-Protocol"] == "h2c"


def test_credentials_are_kept_as_they_were_sent(tmp_path: Path, hurtle_server: Server) -> None:
    url = hurtle_server.url("/basic-auth/me/secret")
    hurtle.run([url], tmp_path / "out.warc.gz", auth=("me", "secret"))
    ((request, _),) = archived(tmp_path / "out.warc.gz")[0].exchanges
    assert b"Basic " + b64encode(b"me:secret") in request.block


def test_a_strange_url_stays_on_its_line(tmp_path: Path, hurtle_server: Server) -> None:
    url = hurtle_server.url("/status/200?body=é<\u2028>%0D%0AX-Field:%201#part")
    hurtle.run([url], tmp_path / "out.warc.gz")
    (one,) = archived(tmp_path / "out.warc.gz")
    ((request, response),) = one.exchanges
    assert one.row["url"] == url
    assert response.url.isascii()
    assert not any(character in response.url for character in " <>\t#")
    assert request.block.split(b" ")[1].decode() == response.url.removeprefix(hurtle_server.url(""))
    assert "X-Field" not in response.fields


def test_a_retried_request_keeps_its_last_attempt(tmp_path: Path, hurtle_server: Server) -> None:
    url = hurtle_server.url("/flaky?times=1&status=503&key=warc")
    hurtle.run([url], tmp_path / "out.warc.gz", retries=hurtle.Retry(total=1, backoff=0.001))
    (one,) = archived(tmp_path / "out.warc.gz")
    assert one.row["attempts"] == 2
    assert [response.block[9:12] for _, response in one.exchanges] == [b"200"]


def test_ordered_rows_have_their_own_exchanges(tmp_path: Path, hurtle_server: Server) -> None:
    urls = [hurtle_server.url(f"/delay/{20 - 2 * n}?bytes={n}") for n in range(10)]
    hurtle.run(urls, tmp_path / "out.warc.gz", ordered=True)
    rows = [one for one in by_fastwarc(tmp_path / "out.warc.gz") if one.kind == "metadata"]
    assert [json.loads(one.block)["url"] for one in rows] == urls == [one.url for one in rows]
    assert [len(body or b"") for body in (row.body for _, row in rows_of(tmp_path / "out.warc.gz"))] == [
        *range(10)
    ]


def test_a_copy_has_a_row_and_refers_to_no_response(tmp_path: Path, hurtle_server: Server) -> None:
    hurtle.run([hurtle_server.url("/bytes/5")] * 3, tmp_path / "out.warc.gz", dedupe=True)
    rows = archived(tmp_path / "out.warc.gz")
    assert [one.row["bytes_body"] for one in rows] == [5, 5, 5]
    assert sorted(len(one.exchanges) for one in rows) == [0, 0, 1]
    # A request that was sent once is in the file once.
    assert hurtle_server.stats()["requests"] == 1


def test_an_empty_list_gives_a_whole_file_that_says_who_wrote_it(tmp_path: Path) -> None:
    out = tmp_path / "out.warc.gz"
    hurtle.run([], out)
    (info,) = by_fastwarc(out)
    assert by_warcio(out) == [info]
    assert info.kind == "warcinfo"
    assert f"software: hurtle/{hurtle.__version__}\r\n".encode() in info.block
    assert hurtle.open_run(out).to_arrow().num_rows == 0
    assert hurtle.open_run(out).to_arrow().schema.names[-3:] == ["warc_file", "warc_offset", "warc_length"]


def test_it_goes_to_stdout(hurtle_server: Server, tmp_path: Path, capfdbinary: Any) -> None:
    hurtle.run([hurtle_server.url("/bytes/1")] * 3, "-", format="warc")
    (tmp_path / "out").write_bytes(capfdbinary.readouterr().out)
    assert [len(one.exchanges) for one in archived(tmp_path / "out")] == [1, 1, 1]


def test_another_sink_has_no_exchanges_to_pay_for(hurtle_server: Server, tmp_path: Path) -> None:
    from hurtle.sinks import new_sink

    assert new_sink(tmp_path / "out.warc.gz").records_exchanges
    assert new_sink("-", "warc").records_exchanges
    assert not new_sink(tmp_path / "out.jsonl").records_exchanges


def test_a_part_with_another_number_of_rows_is_no_part(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hurtle.formats.warc.count_rows", lambda path: count_rows(path) - 1)
    with pytest.raises(hurtle.SinkError, match="has 2 rows when read back, but 3 were written"):
        hurtle.run([hurtle_server.url("/bytes/1")] * 3, tmp_path / "out.warc.gz")
    assert not (tmp_path / "out.warc.gz").exists()
