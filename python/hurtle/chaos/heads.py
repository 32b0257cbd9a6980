"""HTTP/1 faults in the head and in the framing of a response."""

from typing import TYPE_CHECKING

from hurtle.chaos.case import (
    BODY,
    WHOLE,
    Case,
    answer,
    dripping,
    endless,
    fails,
    has_body,
    ok,
    raw,
    silent,
)
from hurtle.chaos.peer import Peer

if TYPE_CHECKING:
    from hurtle._engine import Response

GETS = ("GET",) * 4
CHUNKED = "transfer-encoding: chunked\r\n"
SIZE = f"content-length: {len(BODY)}\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


def _is_empty(response: "Response") -> str | None:
    return None if response.content == b"" else f"a body: {response.content[:40]!r}"


def _has_body_unless_head(response: "Response") -> str | None:
    return _is_empty(response) if response.method == "HEAD" else has_body(response)


def _junk_behind(_number: int, peer: Peer) -> None:
    while peer.request() is not None:
        peer.send(WHOLE + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")


def _late_body_of_head(_number: int, peer: Peer) -> None:
    while (head := peer.request()) is not None:
        peer.send(WHOLE.partition(BODY)[0])
        if head.startswith(b"HEAD"):
            peer.wait(0.05)
        peer.send(BODY)


def _reset_in_body(_number: int, peer: Peer) -> None:
    if peer.request() is not None:
        peer.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + BODY)
        peer.wait(0.1)
        peer.reset()


def _reset_at_once(_number: int, peer: Peer) -> None:
    peer.request()
    peer.reset()


def _idle_end(number: int, peer: Peer) -> None:
    """Answer one request of the first connection, and close when the second arrives."""
    if peer.request() is None:
        return
    peer.send(WHOLE)
    if number == 0:
        peer.request()
        return
    while peer.request() is not None:
        peer.send(WHOLE)


def _late_408(number: int, peer: Peer) -> None:
    """Answer one request; then tell the idle connection that it took too long."""
    if peer.request() is None:
        return
    peer.send(WHOLE)
    if number == 0:
        peer.wait(0.05)
        peer.send(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        return
    while peer.request() is not None:
        peer.send(WHOLE)


def _interim(count: int, end: bytes) -> bytes:
    return b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * count + end


HEADS: tuple[Case, ...] = (
    fails(
        "h1", "a status line without a valid status", "protocol.status_line", raw(b"HTTP/1.1 20 OK\r\n\r\n")
    ),
    fails(
        "h2", "HTTP/1.2", "protocol.version or protocol.status_line", raw(b"HTTP/1.2 200 OK\r\n" + WHOLE[17:])
    ),
    fails("h3", "a NUL in a header", "protocol.header", answer(f"{SIZE}x: a\0b\r\n")),
    ok("h4", "a header folded over two lines", answer(f"{SIZE}x: a\r\n b\r\n")),
    ok("h5", "line ends without CR in the head", raw(WHOLE.partition(BODY)[0].replace(b"\r", b"") + BODY)),
    fails("h6", "a negative Content-Length", "protocol.content_length", answer("content-length: -1\r\n")),
    fails(
        "h7",
        "two different Content-Lengths",
        "protocol.content_length",
        answer(f"{SIZE}content-length: 3\r\n"),
    ),
    ok("h8", "Content-Length and chunked", answer(f"content-length: 3\r\n{CHUNKED}", CHUNKS)),
    fails(
        "h9", "a declared length of 40 GB", "too_large.declared", answer("content-length: 42949672960\r\n")
    ),
    fails(
        "h10",
        "a Transfer-Encoding that was not asked for",
        "protocol.transfer_encoding",
        answer("transfer-encoding: gzip, chunked\r\n", CHUNKS),
    ),
    fails("h11", "a chunk size that is no number", "protocol.chunk", answer(CHUNKED, b"zz\r\n")),
    fails(
        "h12",
        "an endless line of a chunk size",
        "protocol.chunk",
        endless(f"HTTP/1.1 200 OK\r\n{CHUNKED}\r\n5;".encode(), b"x" * 65536),
    ),
    fails(
        "h13",
        "endless headers",
        "too_large.headers",
        endless(b"HTTP/1.1 200 OK\r\n", b"x-header: value\r\n" * 1000),
    ),
    fails(
        "h14",
        "an endless body",
        "too_large.body",
        endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
        options={"max_body_size": 1 << 20},
    ),
    fails(
        "h15",
        "a body that drips",
        "timeout.body",
        dripping(b"HTTP/1.1 200 OK\r\n\r\n"),
        options={"timeout": 1},
    ),
    fails(
        "h16",
        "headers that drip",
        "timeout.headers or timeout.first_byte",
        dripping(b"HTTP/1.1 200 OK\r\nx: "),
        options={"timeout": 1},
    ),
    fails(
        "h17",
        "a body that ends early",
        "truncated.disconnect",
        answer(f"content-length: {len(BODY) + 1}\r\n"),
    ),
    fails("h18", "an end instead of a response", "protocol.empty", raw(b"")),
    ok("h19", "bytes of another response behind the first", _junk_behind, methods=GETS),
    fails(
        "h20", "an endless number of interim responses", "protocol.too_many_1xx", raw(_interim(1000, WHOLE))
    ),
    fails(
        "h21", "101 Switching Protocols", "protocol.upgrade", raw(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    ),
    Case("h22", "204 with a body", ("ok",), answer("", status="204 No Content"), _is_empty),
    fails("h23", "a reset in a body without a length", "truncated.disconnect", _reset_in_body),
    ok("h24", "408 on an idle connection", _late_408, methods=GETS),
    ok("c8", "an idle connection that ends when used", _idle_end, methods=GETS),
    ok("h25", "bytes in a header that are no UTF-8", answer(f"{SIZE}x: caf\xe9\r\n")),
    ok("h26", "a thousand cookies", answer(SIZE + "set-cookie: a=b\r\n" * 1000)),
    ok("h27", "empty lines before the status line", raw(b"\r\n\r\n" + WHOLE)),
    ok("h28", "a header line without a colon", answer(f"{SIZE}PHP Warning\r\n")),
    ok("h29", "Transfer-Encoding: identity", answer(f"transfer-encoding: identity\r\n{SIZE}")),
    fails("h30", "junk behind a chunk size", "protocol.chunk", answer(CHUNKED, b"5 5\r\nhello\r\n0\r\n\r\n")),
    ok(
        "h31",
        "a body behind the answer to HEAD",
        _late_body_of_head,
        _has_body_unless_head,
        methods=("HEAD", "GET", "HEAD", "GET"),
    ),
    Case(
        "h33",
        "206 that was not asked for",
        ("206",),
        answer(f"{SIZE}content-range: bytes 0-14/99\r\n", status="206 Partial Content"),
    ),
    fails("c4", "a reset before the response", "connect.reset", _reset_at_once),
    fails("c5", "silence", "timeout.first_byte", silent(), options={"timeout": 1}),
)
