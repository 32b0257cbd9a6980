"""A fault: what the server does, and how the row of a request to it ends."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hurtle.chaos.peer import Peer

if TYPE_CHECKING:
    from hurtle._engine import Response

OK = "ok"
"""Ends as a row without an error whose status is 200."""

BODY = b"the whole body\n"
"""What a case sends whose row is ok, unless its `sees` says otherwise."""

WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
"""A response with it that is complete."""


def has_body(response: "Response") -> str | None:
    """Say what is wrong with a row that should have the whole body; None: nothing."""
    return None if response.content == BODY else f"another body: {response.content[:40]!r}"


def anything(_response: "Response") -> None:
    """Accept any row with the expected end."""


@dataclass(frozen=True, slots=True)
class Case:
    """One fault.

    Attributes:
        id: Its name in docs/faults.md, such as "h13".
        what: What the server does, in a few words.
        ends: The ends of the row that are right: error codes, or "ok".
        play: Acts as the server on one connection: given its number, from 0, and the connection.
        sees: What is wrong with a row that has the right end; None: nothing.
        options: Options of the run that differ from those of the self-test.
        scheme: http or https.
        methods: The methods of the requests that are sent; each has to end so.
        tls_fault: The fault of the test server that plays this case instead, see `hurtle.testing.Server`.
        url: The URL, if nothing listens for this case.
    """

    id: str
    what: str
    ends: tuple[str, ...]
    play: Callable[[int, Peer], None]
    sees: Callable[["Response"], str | None] = anything
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    scheme: str = "http"
    methods: tuple[str, ...] = ("GET",)
    tls_fault: str | None = None
    url: str | None = None


def ok(
    id: str,  # noqa: A002 - the public name
    what: str,
    play: Callable[[int, Peer], None],
    sees: Callable[["Response"], str | None] = has_body,
    **more: Any,  # noqa: ANN401 - the fields of a case
) -> Case:
    """Return a case whose row is ok."""
    return Case(id, what, (OK,), play, sees, **more)


def fails(
    id: str,  # noqa: A002 - the public name
    what: str,
    code: str,
    play: Callable[[int, Peer], None],
    **more: Any,  # noqa: ANN401 - the fields of a case
) -> Case:
    """Return a case whose row has an error."""
    return Case(id, what, tuple(code.split(" or ")), play, **more)


Play = Callable[[int, Peer], None]


def nothing(_number: int, _peer: Peer) -> None:
    """Do nothing: the connection closes."""


def answer(head: str, body: bytes = BODY, *, status: str = "200 OK") -> Play:
    """Return a server that answers each request with these header lines, and closes behind the first.

    Args:
        head: The header lines, each with its own line end; empty: a Content-Length that is right.
        body: The bytes after the empty line.
        status: The status line after the version.
    """
    lines = head or f"content-length: {len(body)}\r\n"
    return raw(f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1") + body)


def raw(data: bytes) -> Play:
    """Return a server that sends these bytes after the first request, and closes."""

    def play(_number: int, peer: Peer) -> None:
        if peer.request() is not None:
            peer.send(data)

    return play


def silent(data: bytes = b"") -> Play:
    """Return a server that sends these bytes after the first request, and nothing more."""

    def play(_number: int, peer: Peer) -> None:
        if peer.request() is not None:
            peer.send(data)
            peer.wait()

    return play


def dripping(data: bytes, every_s: float = 0.05) -> Play:
    """Return a server that sends these bytes, and then one byte at a time."""

    def play(_number: int, peer: Peer) -> None:
        if peer.request() is not None:
            peer.send(data)
            while peer.send(b"x"):
                peer.wait(every_s)

    return play


def endless(data: bytes, again: bytes) -> Play:
    """Return a server that sends bytes, and then others again and again."""

    def play(_number: int, peer: Peer) -> None:
        if peer.request() is not None:
            peer.send(data)
            while peer.send(again):
                pass

    return play
