"""Hostile servers, each kind on addresses of its own.

Usage: python -m benchmarks.hostile_server HOSTS CERTIFICATE

It prints one JSON object, the origins by kind, and serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import struct
import sys
from collections.abc import Awaitable, Callable, Iterator

NET = 200
"""Addresses 127.200.0.0 and up, so that no healthy host has one."""

DRIP_S = 0.2
ENDLESS = b"x" * 65_536
BOMB_BYTES = 256 << 20
FOREVER_S = 3_600.0

TLS_AND_TCP = ("black hole", "refused", "TLS stall", "no TLS", "HTTP/2 stall")

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def silence(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Accept, read, answer nothing."""
    while await reader.read(65_536):
        pass


async def close_at_once(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Close without reading."""


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read the request and reset the connection."""
    await reader.read(65_536)
    link: socket.socket = writer.get_extra_info("socket")
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def drip_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the head a byte at a time, without an end."""
    await reader.read(65_536)
    writer.write(b"HTTP/1.1 200 OK\r\nx-drip: ")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(DRIP_S)


async def drip_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the body a byte at a time."""
    await reader.read(65_536)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(DRIP_S)


async def half_a_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send half a body, and nothing more."""
    await reader.read(65_536)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + b"x" * 500)
    await silence(reader, writer)


async def cut_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send half a body, and close."""
    await reader.read(65_536)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + b"x" * 500)


async def stuck_chunk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a chunk without its last bytes, and nothing more."""
    await reader.read(65_536)
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n100\r\n" + b"x" * 100)
    await silence(reader, writer)


def endless(start: bytes, again: bytes) -> Serve:
    """Return a server that never stops sending."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(start)
        while True:
            writer.write(again)
            await writer.drain()

    return serve


def answering(answer: bytes, after_s: float = 0.0) -> Serve:
    """Return a server that always gives the same answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            await asyncio.sleep(after_s)
            writer.write(answer)
            await writer.drain()

    return serve


def _bomb() -> bytes:
    body = gzip.compress(bytes(BOMB_BYTES), compresslevel=9)
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _plain() -> dict[str, Serve]:
    return {
        "silence": silence,
        "close at once": close_at_once,
        "reset": reset,
        "drip head": drip_head,
        "drip body": drip_body,
        "half a body": half_a_body,
        "cut body": cut_body,
        "stuck chunk": stuck_chunk,
        "endless 1xx": endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100),
        "endless headers": endless(b"HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n" * 1_000),
        "endless body": endless(b"HTTP/1.1 200 OK\r\n\r\n", ENDLESS),
        "gzip bomb": answering(_bomb()),
        "redirect loop": answering(b"HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n"),
        "429, an hour": answering(
            b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n"
        ),
        "503": answering(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"),
        "no HTTP": answering(b"220 mail.example.org ESMTP\r\n"),
        "a minute late": answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 60.0),
    }


def _addresses(kind: int, each: int) -> Iterator[str]:
    for number in range(each):
        yield (
            f"127.{NET}.{kind}.{number % 250 + 1}" if number < 250 else f"127.{NET + 1}.{kind}.{number - 249}"
        )


def _black_hole(address: str, kept: list[socket.socket]) -> str:
    """Listen without accepting, and fill the queue: the system drops every further SYN."""
    listener = socket.create_server((address, 0), backlog=0)
    kept.append(listener)
    for _ in range(2):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        kept.append(filler)
    return f"http://{address}:{listener.getsockname()[1]}"


def _refusing(address: str, kept: list[socket.socket]) -> str:
    """Keep a port on which nobody listens."""
    closed = socket.socket()
    closed.bind((address, 0))
    kept.append(closed)
    return f"http://{address}:{closed.getsockname()[1]}"


async def _listen(serve: Serve, address: str, tls: ssl.SSLContext | None = None) -> int:
    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.wait_for(serve(reader, writer), FOREVER_S)
        except (TimeoutError, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, address, 0, ssl=tls, backlog=256)
    return int(server.sockets[0].getsockname()[1])


async def main() -> None:
    """Open every port, say where they are, and serve."""
    hosts, certificate = int(sys.argv[1]), sys.argv[2]
    plain = _plain()
    each = max(1, hosts // (len(TLS_AND_TCP) + len(plain)))
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, _context: None)
    h2 = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    h2.load_cert_chain(certificate)
    h2.set_alpn_protocols(["h2"])
    kept: list[socket.socket] = []
    origins: dict[str, list[str]] = {name: [] for name in TLS_AND_TCP}
    for one in _addresses(0, each):
        origins["black hole"].append(_black_hole(one, kept))
    for one in _addresses(1, each):
        origins["refused"].append(_refusing(one, kept))
    for kind, name in enumerate(TLS_AND_TCP[2:], start=2):
        serve = answering(b"x") if name == "no TLS" else silence
        tls = h2 if name == "HTTP/2 stall" else None
        for one in _addresses(kind, each):
            origins[name].append(f"https://{one}:{await _listen(serve, one, tls)}")
    for kind, (name, serve) in enumerate(plain.items(), start=len(origins)):
        origins[name] = [f"http://{one}:{await _listen(serve, one)}" for one in _addresses(kind, each)]
    print(json.dumps(origins), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
