"""An ASGI application that serves the site; its folder is in the environment variable SITE."""

from __future__ import annotations

import gzip
import os
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

SITE = Path(os.environ["SITE"])
PIECE = 16_384

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answer one request."""
    if scope["type"] != "http":
        return
    headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
    if scope["method"] == "POST":
        await answer(send, 200, {}, (await digest_of(receive)).encode())
        return
    path = SITE / scope["path"].removeprefix("/")
    if scope["path"] == "/chunked":
        await answer(send, 200, {}, (SITE / "chunked.txt").read_bytes(), piece=1000)
        return
    if not path.is_file():
        await answer(send, 404, {}, b"")
        return
    body = path.read_bytes()
    zips = path.suffix == ".html" and "gzip" in headers.get("accept-encoding", "")
    etag = f'"{len(body)}-{zips}"'
    said = {"etag": etag, "vary": "accept-encoding", "content-type": "text/html" if zips else "text/plain"}
    if headers.get("if-none-match") == etag:
        await answer(send, 304, said, b"")
        return
    status = 200
    if zips:
        body, said["content-encoding"] = gzip.compress(body), "gzip"
    elif headers.get("range", "").startswith("bytes="):
        first, last = map(int, headers["range"].removeprefix("bytes=").split("-"))
        said["content-range"] = f"bytes {first}-{last}/{len(body)}"
        status, body = 206, body[first : last + 1]
    said["content-length"] = str(len(body))
    await answer(send, status, said, b"" if scope["method"] == "HEAD" else body)


async def digest_of(receive: Receive) -> str:
    """Return the hash of a request's body."""
    digest = sha256()
    while True:
        event = await receive()
        digest.update(event.get("body", b""))
        if not event.get("more_body"):
            return digest.hexdigest()


async def answer(send: Send, status: int, said: dict[str, str], body: bytes, piece: int = PIECE) -> None:
    """Send a response, piece by piece."""
    headers = [(name.encode(), value.encode()) for name, value in said.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for at in range(0, len(body), piece):
        part = {"type": "http.response.body", "body": body[at : at + piece], "more_body": True}
        await send(part)
    await send({"type": "http.response.body", "body": b""})
