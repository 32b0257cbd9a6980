"""WARC records for HTTP exchanges and rows, each record one gzip member.

Source: ISO 28500:2017, WARC 1.1.
"""

import re
import zlib
from base64 import b32encode
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from uuid import uuid4

from hurtle.formats.compressed import GZIP
from hurtle.rows import Exchange
from hurtle.version import __version__

MARK = b"WARC/"
"""What a record begins with. Source: ISO 28500:2017, section 4."""

ROW_TYPE = "application/json"
"""The content type of the `metadata` record that is a row."""

WARC_INFO = (
    f"software: hurtle/{__version__}\r\n"
    "format: WARC File Format 1.1\r\n"
    "conformsTo: http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/\r\n"
).encode()

LEVEL = 4
"""On HTML it takes two thirds of the time of zlib's default, 6, and makes 5 % more bytes."""

SMALL = 4096
SMALL_WINDOW, SMALL_MEMORY = GZIP - 3, 6
"""A window of 4 KiB. Setting up the largest one costs more than compressing a small record."""

SAMPLE = 2048
SHRINKS = 0.95
"""A large block is stored if its sample does not shrink that far: an image, or a body received compressed."""

END = b"\r\n\r\n"
"""Ends the head of a record, and its block."""

_CHUNKED = re.compile(
    rb"\ntransfer-encoding:[ \t,]*(?:\r?\n[ \t]+)?chunked(?:(?:\r?\n)?[ \t,]+chunked)*[ \t,]*\r?\n",
    re.IGNORECASE,
)
"""Some proxies name the coding twice, and apply it once."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Field = tuple[str, str]


def exchange_records(exchange: Exchange) -> tuple[bytes, str]:
    """Return a `request` and a `response` record.

    Args:
        exchange: What went over the wire.

    Returns:
        Two gzip members, and the id of the response.
    """
    asked, answered = new_id(), new_id()
    date = instant(exchange.started_us)
    shared = list(_capture(exchange))
    request, response = exchange.request, exchange.response
    sent = request.partition(END)[2]
    received = payload_of(response, exchange.body_at, exchange.http_version)
    of_request = [("WARC-Payload-Digest", digest(sent))] if sent else []
    of_response = [("WARC-Payload-Digest", digest(received))]
    if exchange.truncated is not None:
        of_response.append(("WARC-Truncated", exchange.truncated))
    members = (
        record(
            "request",
            request,
            "application/http;msgtype=request",
            [("WARC-Concurrent-To", answered), *shared, *of_request],
            id=asked,
            date=date,
        ),
        record(
            "response",
            response,
            "application/http;msgtype=response",
            [("WARC-Concurrent-To", asked), *shared, *of_response],
            id=answered,
            date=date,
        ),
    )
    return b"".join(members), answered


def _capture(exchange: Exchange) -> Iterator[Field]:
    yield "WARC-Target-URI", exchange.url
    if exchange.remote_ip is not None:
        yield "WARC-IP-Address", exchange.remote_ip
    if exchange.http_version == "2":
        # The block is in HTTP/1.1 form, and this field names the actual protocol.
        # Source: https://github.com/iipc/warc-specifications/issues/42
        yield "WARC-Protocol", "h2" if exchange.url.startswith("https:") else "h2c"


def payload_of(response: bytes, body_at: int, http_version: str) -> bytes:
    """Return the body of a response without its transfer coding.

    Args:
        response: Head and body.
        body_at: Where the body begins.
        http_version: The response's HTTP version: "2" has no transfer codings, whatever the head says.
    """
    body = response[body_at:]
    chunked = http_version != "2" and _CHUNKED.search(response, 0, body_at) is not None
    return unchunked(body) if chunked else body


def record(
    kind: str,
    block: bytes,
    content_type: str,
    fields: Iterable[Field] = (),
    *,
    id: str | None = None,  # noqa: A002 - the field's name
    date: str | None = None,
) -> bytes:
    """Return a record as a gzip member.

    Args:
        kind: Its WARC-Type.
        block: Its content.
        content_type: The type of the content.
        fields: Further fields; names and values without line ends.
        id: As from `new_id`; None: a new one.
        date: As from `instant`; None: now.
    """
    lines = [
        "WARC/1.1",
        f"WARC-Type: {kind}",
        f"WARC-Record-ID: {id or new_id()}",
        f"WARC-Date: {date or f'{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}'}",
        *(f"{name}: {value}" for name, value in fields),
        f"WARC-Block-Digest: {digest(block)}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(block)}",
    ]
    head = "\r\n".join(lines).encode() + END
    if len(head) + len(block) + len(END) <= SMALL:
        return _deflated((head, block, END), LEVEL, SMALL_WINDOW, SMALL_MEMORY)
    return _deflated((head, block, END), LEVEL if _shrinks(block) else 0, GZIP, zlib.DEF_MEM_LEVEL)


def _deflated(pieces: Iterable[bytes], level: int, window: int, memory: int) -> bytes:
    deflate = zlib.compressobj(level, zlib.DEFLATED, window, memory)
    return b"".join([*map(deflate.compress, pieces), deflate.flush()])


def _shrinks(block: bytes) -> bool:
    middle = len(block) // 2
    sample = block[middle : middle + SAMPLE]
    return len(_deflated((sample,), 1, SMALL_WINDOW, SMALL_MEMORY)) < len(sample) * SHRINKS


def new_id() -> str:
    """Return an id that no other record has."""
    return f"<urn:uuid:{uuid4()}>"


def instant(micros: int) -> str:
    """Return a point in time in the form of WARC-Date.

    Args:
        micros: Microseconds since 1970-01-01 UTC.

    Example:
        >>> instant(1_500_000_000_000_001)
        '2017-07-14T02:40:00.000001Z'
    """
    return f"{_EPOCH + timedelta(microseconds=micros):%Y-%m-%dT%H:%M:%S.%fZ}"


def digest(data: bytes) -> str:
    """Return the value of WARC-Block-Digest or WARC-Payload-Digest, in the form that archives index by.

    Example:
        >>> digest(b"")
        'sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ'
    """
    return "sha1:" + b32encode(sha1(data, usedforsecurity=False).digest()).decode("ascii")


def unchunked(body: bytes) -> bytes:
    r"""Return a body without the chunked coding: the payload, which does not depend on how it was split.

    If a body ends early, or continues with something that is not a chunk, the result is what came before.

    Source: RFC 9112, section 7.1; https://github.com/iipc/warc-specifications/issues/22

    Example:
        >>> unchunked(b"4;x=y\r\nWiki\r\n5\r\npedia\r\n0\r\nTrailer: x\r\n\r\n")
        b'Wikipedia'
    """
    pieces, at = [], 0
    while (line_end := body.find(b"\r\n", at)) >= 0:
        try:
            size = int(body[at:line_end].partition(b";")[0], 16)
        except ValueError:
            break
        if size <= 0:
            break
        start = line_end + 2
        pieces.append(body[start : start + size])
        at = start + size + 2
    return b"".join(pieces)
