"""Faults of content codings, redirects and throttling."""

import gzip
import time
import zlib
from collections.abc import Callable

from hurtle.chaos.case import BODY, WHOLE, Case, Play, answer, fails, ok
from hurtle.chaos.peer import Peer

GZIPPED = gzip.compress(BODY, mtime=0)


def _coded(coding: str, body: bytes, *, more: str = "") -> Play:
    return answer(f"content-encoding: {coding}\r\ncontent-length: {len(body)}\r\n{more}", body)


def _bomb() -> bytes:
    """Return 64 MiB of zeros as gzip, made of members so that it takes no time."""
    return gzip.compress(bytes(1 << 20), mtime=0) * 64


def _deflated() -> bytes:
    raw_deflate = zlib.compressobj(wbits=-15)
    return raw_deflate.compress(BODY) + raw_deflate.flush()


def _redirect(location: str, *, status: str = "302 Found", body: bytes = b"") -> Play:
    return answer(f"location: {location}\r\ncontent-length: {len(body)}\r\n", body, status=status)


def _loop(_number: int, peer: Peer) -> None:
    while peer.request() is not None:
        peer.send(b"HTTP/1.1 302 Found\r\nlocation: ?again\r\ncontent-length: 0\r\n\r\n")


def _bomb_on_redirect(_number: int, peer: Peer) -> None:
    while (head := peer.request()) is not None:
        if b"?there" in head:
            peer.send(WHOLE)
            continue
        bomb = _bomb()
        peer.send(
            b"HTTP/1.1 302 Found\r\nlocation: ?there\r\ncontent-encoding: gzip\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(bomb), bomb)
        )


def _raw_location(_number: int, peer: Peer) -> None:
    while (head := peer.request()) is not None:
        if b"/caf%E9" in head:
            peer.send(WHOLE)
        else:
            peer.send(b"HTTP/1.1 302 Found\r\nlocation: /caf\xe9\r\ncontent-length: 0\r\n\r\n")


def _refusing(status: bytes, wait: Callable[[], bytes]) -> Play:
    """Return a server that refuses the first request, and names a wait."""

    def play(number: int, peer: Peer) -> None:
        first = number == 0
        while peer.request() is not None:
            if first:
                line = b"HTTP/1.1 %b Refused\r\nretry-after: %b\r\ncontent-length: 0\r\n\r\n"
                peer.send(line % (status, wait()))
                first = False
            else:
                peer.send(WHOLE)

    return play


def _a_minute_ago() -> bytes:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() - 60)).encode()


BODIES: tuple[Case, ...] = (
    fails(
        "e1",
        "64 MiB in 64 KiB of gzip",
        "too_large.decoded",
        _coded("gzip", _bomb()),
        options={"max_body_size": 1 << 20},
    ),
    fails("e2", "gzip that ends early", "decode.truncated", _coded("gzip", GZIPPED[:-12])),
    fails("e3", "gzip with a wrong checksum", "decode.corrupt", _coded("gzip", GZIPPED[:-8] + bytes(8))),
    fails("e4", "plain text labelled as gzip", "decode.corrupt", _coded("gzip", BODY)),
    ok("e5", "gzip in two members", _coded("gzip", gzip.compress(BODY[:4]) + gzip.compress(BODY[4:]))),
    ok("e6", "bytes behind the end of gzip", _coded("gzip", GZIPPED + b"junk")),
    ok("e7", "deflate without its envelope", _coded("deflate", _deflated())),
    fails("e8", "six codings", "decode.too_many_layers", _coded(", ".join(["gzip"] * 6), BODY)),
    ok("e9", "a coding that nobody knows", _coded("klingon", BODY)),
    ok("e11", "gzip without a byte", _coded("gzip", b""), lambda r: "a body" if r.content else None),
    fails("r1", "redirects in a circle", "redirect.too_many", _loop),
    fails("r3", "a redirect to file:", "redirect.scheme", _redirect("file:///etc/hostname")),
    Case(
        "r7", "a redirect without Location", ("ok",), answer("content-length: 0\r\n", b"", status="302 Found")
    ),
    fails("r8", "two different Locations", "redirect.ambiguous", _redirect("/a\r\nlocation: /b")),
    fails("r9", "a Location that is no URL", "redirect.invalid", _redirect("http://[::1")),
    ok("r10", "a bomb as the body of a redirect", _bomb_on_redirect),
    ok("r11", "raw bytes in Location", _raw_location),
    ok("q1", "503 with Retry-After", _refusing(b"503", lambda: b"1"), options={"retries": 2}),
    ok(
        "q2",
        "429 with a Retry-After date that is over",
        _refusing(b"429", _a_minute_ago),
        options={"retries": 2},
    ),
    ok(
        "q3",
        "503 with a Retry-After that is no time",
        _refusing(b"503", lambda: b"-5 soon"),
        options={"retries": 2},
    ),
    Case(
        "q4",
        "429 with a Retry-After of 31 years",
        ("429",),
        answer("retry-after: 1000000000\r\ncontent-length: 0\r\n", b"", status="429 Slow"),
    ),
    Case("q7", "404", ("404",), answer("", status="404 Not Found")),
)
