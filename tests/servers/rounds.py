"""What hurtle asks of every server, and what must come of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Thread

import hurtle
from hurtle import Client, Request, Response
from tests.servers.servers import IDLE_S, Running
from tests.servers.site import CHUNKED, LARGE, PAGE, SMALL, Site

TIMEOUT_S = 20.0
GAPS = 20
"""Pauses of the idle race, around the time that a server keeps a connection."""

RATE = "100/s"
DOWN_S = 0.4
"""How long a server is away when it is restarted."""

UPLOAD = bytes(range(256)) * 800


@dataclass(slots=True)
class Figure:
    """One round with one server.

    Attributes:
        rows: Requests.
        right: Rows that are what they must be.
        lies: Rows that say ok and are not what they must be.
        ended: What the other rows ended with, and how many.
        notes: What is worth knowing, and how often it was seen.
    """

    rows: int = 0
    right: int = 0
    lies: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def add(self, response: Response, *, is_right: bool) -> None:
        """Count a row."""
        self.rows += 1
        if is_right:
            self.right += 1
        elif response.ok:
            self.lies += 1
            self.ended[f"ok, but wrong ({response.status})"] += 1
        else:
            self.ended[str(response.error or response.status)] += 1


Round = Callable[[Running, Site], Figure]


def _client(server: Running, site: Site, **options: object) -> Client:
    """Return a client without retries, so that every mishap is seen."""
    settings: dict[str, object] = {"timeout": TIMEOUT_S, "retries": 0, "concurrency": 8}
    if server.kind.h2:
        settings["verify"] = str(site.authority)
    return Client(**(settings | options))  # type: ignore[arg-type]


def _same(responses: Iterable[Response], body: bytes, status: int = 200) -> Figure:
    figure = Figure()
    for response in responses:
        is_right = response.ok and response.status == status and response.content == body
        figure.add(response, is_right=is_right)
        if response.status is not None:
            figure.notes[f"HTTP/{response.http_version}"] += 1
            if coding := response.headers.get("content-encoding"):
                figure.notes[coding] += 1
    return figure


def _gets(path: str, count: int) -> Round:
    def ask(server: Running, site: Site) -> Figure:
        expected = site.bodies[path]
        asked = server.kind.chunked if path == CHUNKED else path
        with _client(server, site) as client:
            return _same(client.stream([f"{server.url}{asked}?{n}" for n in range(count)]), expected)

    return ask


def compressed(server: Running, site: Site) -> Figure:
    """Ask for the page, which every server compresses."""
    figure = _gets(PAGE, 40)(server, site)
    if not figure.notes.keys() - {"HTTP/1.1", "HTTP/2"}:
        figure.ended["not compressed"] += figure.right
        figure.right = 0
    return figure


def post(server: Running, site: Site) -> Figure:
    """Send bodies of nothing, of little and of 200 KB."""
    bodies = [b"", b"x" * 1000, UPLOAD] * 12
    path = "/post" if server.kind.digests or "nginx" in server.name else SMALL
    requests = [
        Request(f"{server.url}{path}", method="POST", content=body, id=str(n))
        for n, body in enumerate(bodies)
    ]
    figure = Figure()
    with _client(server, site) as client:
        for response in client.stream(requests):
            digest = sha256(bodies[response.index]).hexdigest().encode()
            is_right = response.status == 200 and (not server.kind.digests or response.content == digest)
            figure.add(response, is_right=response.ok and is_right)
    return figure


def head(server: Running, site: Site) -> Figure:
    """Ask for heads, with GETs between them on the same connections."""
    requests = [
        Request(f"{server.url}{SMALL}?{n}", method="HEAD" if n % 2 else "GET", id=str(n)) for n in range(80)
    ]
    figure = Figure()
    with _client(server, site) as client:
        for response in client.stream(requests):
            expected = b"" if response.index % 2 else site.bodies[SMALL]
            is_right = response.ok and response.status == 200 and response.content == expected
            figure.add(response, is_right=is_right)
    return figure


def ranges(server: Running, site: Site) -> Figure:
    """Ask for parts of the large file and of the page; a whole answer is right, too."""
    figure = Figure()
    for path in (LARGE, PAGE):
        whole, headers = site.bodies[path], {"range": "bytes=1000-1999"}
        requests = [Request(f"{server.url}{path}?{n}", headers=headers) for n in range(10)]
        with _client(server, site) as client:
            for response in client.stream(requests):
                expected = whole[1000:2000] if response.status == 206 else whole
                figure.add(response, is_right=response.ok and response.content == expected)
                figure.notes[f"{response.status} for {path[1:]}"] += 1
    return figure


def refresh(server: Running, site: Site) -> Figure:
    """Run a list, and refresh it: nothing has changed."""
    urls = [f"{server.url}{path}?{n}" for path in (SMALL, PAGE) for n in range(10)]
    options = {"timeout": TIMEOUT_S, "retries": 0, "verify": str(site.authority) if server.kind.h2 else True}
    monday, tuesday = server.folder / "monday.jsonl", server.folder / "tuesday.jsonl"
    hurtle.run(urls, monday, progress=False, **options)  # type: ignore[arg-type]
    hurtle.run(urls, tuesday, since=str(monday), progress=False, **options)  # type: ignore[arg-type]
    figure = Figure()
    run = hurtle.open_run(tuesday)
    for row in run:
        path = SMALL if SMALL in row["url"] else PAGE
        is_right = row["change"] == "unchanged" and run.body(row) == site.bodies[path]
        figure.rows += 1
        figure.right += is_right
        figure.notes[f"{row['status']} for {path[1:]}"] += 1
        if not is_right:
            figure.lies += bool(row["ok"])
            figure.ended[str(row["error"] or row["change"])] += 1
    return figure


def idle_race(server: Running, site: Site) -> Figure:
    """Send again on connections at the moment when the server closes them: no GET may fail for that."""
    figure = Figure()
    with _client(server, site) as client:
        for number in range(GAPS):
            urls = [f"{server.url}{SMALL}?{number}-{n}" for n in range(8)]
            part = _same(client.stream(urls), site.bodies[SMALL])
            figure.rows += part.rows
            figure.right += part.right
            figure.lies += part.lies
            figure.ended += part.ended
            time.sleep(IDLE_S * (0.9 + 0.2 * number / GAPS))
    return figure


def restart(server: Running, site: Site) -> Figure:
    """Restart the server while a list is under way, with the retries that hurtle has by default."""

    def away() -> None:
        time.sleep(1.0)
        server.stop()
        time.sleep(DOWN_S)
        server.start()

    thread = Thread(target=away)
    thread.start()
    try:
        urls = [f"{server.url}{SMALL}?{n}" for n in range(300)]
        with _client(server, site, retries=hurtle.Retry(), rate_limit=RATE) as client:
            figure = Figure()
            for response in client.stream(urls):
                is_right = response.ok and response.content == site.bodies[SMALL]
                figure.add(response, is_right=is_right)
                figure.notes["retried"] += response.attempts > 1
    finally:
        thread.join()
    return figure


ROUNDS: dict[str, Round] = {
    "small": _gets(SMALL, 400), "large": _gets(LARGE, 10), "chunked": _gets(CHUNKED, 40),
    "compressed": compressed, "POST": post, "HEAD": head, "Range": ranges, "refresh": refresh,
    "idle race": idle_race, "restart": restart,
}  # fmt: skip
"""In the order of the page's columns. The last one starts the server again."""
