"""A server with validators: its pages can be changed, and it records its requests."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Event, Thread
from types import TracebackType
from typing import Self

WAIT_SECONDS = 30.0


@dataclass(slots=True)
class Page:
    """A page at a path.

    Attributes:
        body: The body.
        etag: Its ETag, quotes included.
        modified: Its Last-Modified.
        status: The status; 304 takes its place where a condition says so and this is 200.
        location: Where a redirect leads.
        repeats_validators: Whether a 304 has the validators again.
        heeds: Whether conditions are heeded at all.
        deflated: Whether it is compressed as Apache does it: the tag gets the suffix "-gzip", and a tag that
            comes back is compared with the one that has none.
        gate: It answers when this is set, or after half a minute.
    """

    body: bytes = b""
    etag: str | None = None
    modified: str | None = None
    status: int = 200
    location: str | None = None
    repeats_validators: bool = True
    heeds: bool = True
    deflated: bool = False
    gate: Event | None = None

    def holds(self, headers: dict[str, str]) -> bool:
        """Whether the conditions of a request say that the client has it.

        Source: RFC 9110, section 13.2.2.
        """
        if not self.heeds or self.status != 200:
            return False
        if (wanted := headers.get("if-none-match")) is not None:
            tags = re.findall(r'"[^"]*"', wanted)
            return self.etag is not None and self.etag.removeprefix("W/") in tags
        since = headers.get("if-modified-since")
        if since is None or self.modified is None:
            return False
        return parsedate_to_datetime(self.modified) <= parsedate_to_datetime(since)

    def shown(self, holds: bool) -> tuple[str | None, bytes]:
        """Return the tag and the body of an answer."""
        if not self.deflated or self.etag is None or holds:
            return self.etag, self.body
        return f'{self.etag[:-1]}-gzip"', gzip.compress(self.body, mtime=0)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str] = field(repr=False)

    @property
    def conditions(self) -> dict[str, str]:
        """Its conditional fields."""
        return {name: value for name, value in self.headers.items() if name.startswith("if-")}


class ValidatingServer:
    """Serves pages on loopback, with keep-alive, until it is closed; a context manager."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self._asked: list[Asked] = []
        self._comes = Condition()
        self._server = _Quiet(("127.0.0.1", 0), _handler(self))
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def note(self, asked: Asked) -> None:
        """Record a request."""
        with self._comes:
            self._asked.append(asked)
            self._comes.notify_all()

    def wait_for(self, requests: int) -> bool:
        """Wait until this many requests have arrived since the last `taken`; whether they have."""
        with self._comes:
            return self._comes.wait_for(lambda: len(self._asked) >= requests, WAIT_SECONDS)

    def taken(self) -> list[Asked]:
        """Return the requests since the last call."""
        with self._comes:
            asked, self._asked = self._asked, []
        return asked

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A client that was stopped leaves connections behind."""


def _handler(server: ValidatingServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30.0

        def _answer(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.rfile.read(int(headers.get("content-length", "0")))
            server.note(Asked(self.command, self.path, headers))
            page = server.pages.get(self.path, Page(b"no such page", status=404))
            if page.gate is not None:
                page.gate.wait(WAIT_SECONDS)
            holds = page.holds(headers)
            etag, body = page.shown(holds)
            self.send_response(304 if holds else page.status)
            if page.repeats_validators or not holds:
                for name, value in (("etag", etag), ("last-modified", page.modified)):
                    if value is not None:
                        self.send_header(name, value)
            if page.location is not None:
                self.send_header("location", page.location)
            if not holds:
                self.send_header("content-length", str(len(body)))
                if page.deflated:
                    self.send_header("content-encoding", "gzip")
            self.end_headers()
            if not holds and self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_POST = _answer  # noqa: N815 - the names are http.server's

        def log_message(self, *_: object) -> None:
            pass

    return Handler
