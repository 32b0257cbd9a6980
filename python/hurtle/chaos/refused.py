"""Faults of certificates and connections, and URLs that are never sent."""

from hurtle.chaos.case import Case, fails, nothing
from hurtle.chaos.peer import Peer


def _tls(id: str, what: str, code: str, fault: str) -> Case:  # noqa: A002 - the public name
    return fails(id, what, code, nothing, tls_fault=fault, scheme="https")


def _unsent(id: str, what: str, code: str, url: str) -> Case:  # noqa: A002 - the public name
    return fails(id, what, code, nothing, url=url)


def _plain(_number: int, peer: Peer) -> None:
    if peer.receive():
        peer.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")


REFUSED: tuple[Case, ...] = (
    _tls("t1", "a certificate that has expired", "tls.expired", "expired"),
    _tls("t2", "a certificate for another name", "tls.name", "wrong_name"),
    _tls("t3", "a certificate signed by itself", "tls.self_signed", "self_signed"),
    _tls("t4", "a certificate of an unknown authority", "tls.unknown_ca", "unknown_ca"),
    _tls("t6", "an end in the TLS handshake", "tls.eof", "eof"),
    fails("t7", "plain HTTP on a TLS port", "tls.not_tls", _plain, scheme="https"),
    fails(
        "t8",
        "silence in the TLS handshake",
        "timeout.tls",
        nothing,
        tls_fault="stall",
        scheme="https",
        options={"timeout": 1},
    ),
    _unsent("c1", "a port that nothing listens on", "connect.refused", "http://127.0.0.1:1/"),
    _unsent("i1", "a port above 65535", "input.url", "http://127.0.0.1:65536/"),
    _unsent("i2", "another scheme", "input.scheme", "gopher://127.0.0.1/"),
    _unsent("i3", "a URL of more than 64 KiB", "input.too_long", f"http://127.0.0.1/{'a' * 70_000}"),
    _unsent("i5", "a line end in a URL", "input.url", "http://127.0.0.1/a\r\nx: y"),
    _unsent("i7", "a NUL in a URL", "input.url", "http://127.0.0.1/\0"),
    _unsent("i4", "an international name that is not valid", "input.url", "http://xn--a.example:x/"),
)
