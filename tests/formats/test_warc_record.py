"""Single records: digests, payloads, marks, and the gzip member around them."""

import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from hurtle.formats.warc_record import digest as own_digest
from hurtle.formats.warc_record import exchange_records, instant, record, unchunked
from tests.formats.archives import by_fastwarc, digest


@dataclass(frozen=True, slots=True)
class Made:
    """An exchange without a server."""

    url: str = "https://[::1]/"
    started_us: int = 0
    remote_ip: str | None = "::1"
    http_version: str = "1.1"
    request: bytes = b"GET / HTTP/1.1\r\n\r\n"
    response: bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhal"
    body_at: int = 47
    truncated: str | None = "time"


def test_a_response_that_was_cut_in_a_chunk_has_the_payload_that_came(tmp_path: Path) -> None:
    members, response_id = exchange_records(Made())
    (tmp_path / "out").write_bytes(members)
    request, response = by_fastwarc(tmp_path / "out")
    assert response.id == response_id
    assert response.fields["WARC-Truncated"] == "time"
    assert response.fields["WARC-Payload-Digest"] == digest(b"hal")
    assert request.fields["WARC-IP-Address"] == "::1"
    assert "WARC-Truncated" not in request.fields
    assert "WARC-Protocol" not in request.fields


def test_http2_has_no_transfer_coding_whatever_a_head_says(tmp_path: Path) -> None:
    made = Made(http_version="2", truncated=None)
    members, _ = exchange_records(made)
    (tmp_path / "out").write_bytes(members)
    _, response = by_fastwarc(tmp_path / "out")
    assert response.fields["WARC-Payload-Digest"] == digest(made.response[made.body_at :])


def test_a_peer_that_nobody_knows_is_left_out(tmp_path: Path) -> None:
    members, _ = exchange_records(Made(remote_ip=None, truncated=None))
    (tmp_path / "out").write_bytes(members)
    for one in by_fastwarc(tmp_path / "out"):
        assert not {"WARC-IP-Address", "WARC-Truncated"} & set(one.fields)


@pytest.mark.parametrize("size", [0, 1, 3_000, 4_096, 60_000, 300_000])
@pytest.mark.parametrize("kind", ["text", "noise"])
def test_a_record_is_one_gzip_member_whatever_its_size(size: int, kind: str) -> None:
    noise = b"".join(own_digest(b"%d" % n).encode() for n in range(size // 37 + 1))[:size]
    block = (b"the same again " * (size // 15 + 1))[:size] if kind == "text" else zlib.compress(noise, 9)
    member = record("resource", block, "text/plain")
    inflate = zlib.decompressobj(31)
    data = inflate.decompress(member)
    assert inflate.eof
    assert inflate.unused_data == b""
    assert data.partition(b"\r\n\r\n")[2] == block + b"\r\n\r\n"
    if kind == "text":
        assert len(member) < 400 + size / 100
    else:  # a block that does not shrink is stored, with at most five bytes more for each 16 KiB
        assert len(member) < 400 + len(block) * 1.001


@pytest.mark.parametrize(
    ("body", "payload"),
    [
        (b"", b""),
        (b"0\r\n\r\n", b""),
        (b"3\r\nabc\r\nA \r\n0123456789\r\n0\r\n\r\n", b"abc0123456789"),
        (b"3\r\nabc\r\n5\r\nde", b"abcde"),
        (b"3\r\nabc\r\n5", b"abc"),
        (b"3\r\nabc\r\n5\r", b"abc"),
        (b"3\r\nabc\r\nnonsense\r\n", b"abc"),
        (b"3\r\nabc\r\n-5\r\n", b"abc"),
        (b"3\r\na\r\n\r\n0\r\n\r\n", b"a\r\n"),
    ],
)
def test_chunks_become_the_payload(body: bytes, payload: bytes) -> None:
    assert unchunked(body) == payload


def test_an_instant_has_microseconds() -> None:
    assert instant(1_700_000_000_000_007) == "2023-11-14T22:13:20.000007Z"
    assert instant(1_700_000_000_000_000) == "2023-11-14T22:13:20.000000Z"
