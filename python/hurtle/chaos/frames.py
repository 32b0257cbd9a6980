"""HTTP/2 faults, frame by frame (RFC 9113). The client uses prior knowledge, so no TLS is needed."""

import struct
from collections.abc import Callable, Iterator

from hurtle.chaos.case import BODY, Case, fails, ok
from hurtle.chaos.peer import Peer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, CANCEL, CALM = 0, 1, 7, 8, 11
STATUS_200 = b"\x88"
"""The indexed field `:status: 200` (RFC 7541, appendix A)."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def field(name: bytes, value: bytes) -> bytes:
    """Return a header field as a literal that is not indexed."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


LENGTH = field(b"content-length", str(len(BODY)).encode())


class Session:
    """The server's side of an HTTP/2 connection."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._buffer = b""

    def send(self, *frames: bytes) -> bool:
        """Send frames; return whether more may be sent."""
        return self._peer.send(b"".join(frames))

    def streams(self) -> Iterator[int]:
        """Yield the stream of each request; answer settings and pings meanwhile."""
        if self._take(len(PREFACE)) != PREFACE:
            return
        self.send(frame(SETTINGS, 0, 0))
        while head := self._take(9):
            size, kind, flags = int.from_bytes(head[:3]), head[3], head[4]
            stream = int.from_bytes(head[5:]) & 0x7FFFFFFF
            payload = self._take(size)
            if kind == SETTINGS and not flags & ACK:
                self.send(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                self.send(frame(PING, ACK, 0, payload))
            elif kind == HEADERS:
                yield stream

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not (more := self._peer.receive()):
                return b""
            self._buffer += more
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken


def whole(stream: int) -> bytes:
    """Return a response that is complete."""
    return frame(HEADERS, END_HEADERS, stream, STATUS_200 + LENGTH) + frame(DATA, END_STREAM, stream, BODY)


def begun(stream: int) -> bytes:
    """Return a response of which half of the body is there."""
    return frame(HEADERS, END_HEADERS, stream, STATUS_200) + frame(DATA, 0, stream, BODY[:5])


def number(value: int) -> bytes:
    """Return an error code or a stream as four bytes."""
    return struct.pack(">I", value)


def each(reply: Callable[[int, int], bytes]) -> Callable[[int, Peer], None]:
    """Return a server that sends frames for each request, given the connection's number and the stream."""

    def play(connection: int, peer: Peer) -> None:
        session = Session(peer)
        for stream in session.streams():
            if not session.send(reply(connection, stream)):
                return

    return play


def then_end(reply: Callable[[int], bytes]) -> Callable[[int, Peer], None]:
    """Return a server that sends frames for the first request, given its stream, and closes."""

    def play(_connection: int, peer: Peer) -> None:
        session = Session(peer)
        for stream in session.streams():
            session.send(reply(stream))
            return

    return play


def _flood(again: bytes) -> Callable[[int, Peer], None]:
    def play(_connection: int, peer: Peer) -> None:
        session = Session(peer)
        for _ in session.streams():
            while session.send(again * 1000):
                pass
            return

    return play


def _interim(count: int) -> Callable[[int, int], bytes]:
    def reply(_connection: int, stream: int) -> bytes:
        return frame(HEADERS, END_HEADERS, stream, field(b":status", b"103")) * count + whole(stream)

    return reply


def _after(first: Callable[[int], bytes]) -> Callable[[int, int], bytes]:
    """Misbehave on the first connection only."""
    return lambda connection, stream: first(stream) if connection == 0 else whole(stream)


def _another_protocol(_connection: int, peer: Peer) -> None:
    peer.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")


def _refused_once(stream: int) -> bytes:
    """Cancel the first request of a connection; later ones are answered."""
    return frame(RST_STREAM, 0, stream, number(REFUSED_STREAM)) if stream == 1 else whole(stream)


H2: dict[str, object] = {"http2": True}

FRAMES: tuple[Case, ...] = (
    ok(
        "p1",
        "GOAWAY below the request's stream",
        each(_after(lambda _: frame(GOAWAY, 0, 0, number(0) + number(NO_ERROR)))),
        options=H2,
    ),
    ok(
        "p2",
        "GOAWAY while the response is on its way",
        then_end(lambda stream: frame(GOAWAY, 0, 0, number(stream) + number(NO_ERROR)) + whole(stream)),
        options=H2,
    ),
    fails(
        "p3",
        "RST_STREAM in the body",
        "truncated.h2_reset",
        each(lambda _, stream: begun(stream) + frame(RST_STREAM, 0, stream, number(CANCEL))),
        options=H2,
    ),
    fails(
        "p7",
        "an endless number of PINGs",
        "protocol.h2_flood",
        _flood(frame(PING, 0, 0, bytes(8))),
        options=H2,
    ),
    fails(
        "p8",
        "an endless header block",
        "too_large.headers or protocol.h2 or protocol.h2_flood",
        then_end(
            lambda stream: (
                frame(HEADERS, 0, stream, STATUS_200)
                + frame(CONTINUATION, 0, stream, field(b"x", b"y" * 100) * 100) * 1000
            )
        ),
        options=H2,
    ),
    fails(
        "p10",
        "data on a stream that nobody opened",
        "protocol.h2 or truncated.h2_reset",
        each(lambda _, __: frame(DATA, 0, 99, BODY)),
        options=H2,
    ),
    fails(
        "p12",
        "HTTP/1 on an HTTP/2 connection",
        "protocol.h2",
        _another_protocol,
        options=H2,
    ),
    fails(
        "p13",
        "RST_STREAM with NO_ERROR in the body",
        "truncated.h2_reset",
        each(lambda _, stream: begun(stream) + frame(RST_STREAM, 0, stream, number(NO_ERROR))),
        options=H2,
    ),
    ok("p14", "REFUSED_STREAM", each(lambda _, stream: _refused_once(stream)), options=H2),
    fails(
        "p15",
        "an endless number of interim responses",
        "protocol.too_many_1xx",
        each(_interim(1000)),
        options=H2,
    ),
    fails(
        "p16",
        "a field of a request in a response",
        "protocol.h2",
        each(
            lambda _, stream: frame(
                HEADERS, END_HEADERS | END_STREAM, stream, STATUS_200 + field(b":path", b"/")
            )
        ),
        options=H2,
    ),
)
