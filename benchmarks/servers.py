"""The servers: nginx with the pages of every case, or hurtle's own test server, on the server's core."""

from __future__ import annotations

import gzip
import html
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme

from benchmarks.machine import CLIENT_CORE, SERVER_CORE, cpu_seconds_of, pin_to
from tests.corpus.nginx import Nginx, free_port

SMALL_BYTES = 100
FILES = {"10k": 10_000, "1m": 1_000_000}
"""Files that nginx sends, by name, and their lengths."""

PAGE_BYTES = 1_000
PAGES = 10_000
"""As many as a part has rows, so that a compressor finds no page twice in one part."""

HTML_BYTES = 242_000
"""The length of the page of HTML, which nginx sends as gzip where that is accepted."""

STOP_SECONDS = 10.0

MAIN = "worker_rlimit_nofile 65536;"
HTTP = """
keepalive_requests 1000000000;
keepalive_timeout 300s;
default_type text/plain;
sendfile on;
tcp_nopush on;
open_file_cache max=20000 inactive=600s;
ssl_certificate {prefix}/server.pem;
ssl_certificate_key {prefix}/server.pem;
ssl_session_cache shared:sessions:4m;
server {{
    listen 127.0.0.1:{http} backlog=4096;
    listen 127.0.0.1:{https} ssl backlog=4096;
    listen 127.0.0.1:{h2} ssl http2 backlog=4096;
    root {prefix};
    location = /small {{ return 200 "{small}"; }}
    location = /fresh {{ keepalive_timeout 0; return 200 "{small}"; }}
    location = /page.html {{ gzip_static on; default_type text/html; }}
    location /packed/ {{ gzip_static on; }}
}}
server {{
    listen 127.0.0.1:{cold} ssl backlog=4096;
    root {prefix};
    keepalive_timeout 0;
    ssl_session_tickets off;
    ssl_session_cache off;
    location = /page.html {{ gzip_static on; default_type text/html; }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running server: its origins by name, its CA, its processor time so far in seconds."""

    origins: dict[str, str]
    ca: str | None = None
    cpu_s: Callable[[], float]


def pages() -> list[bytes]:
    """Return PAGES different pages of PAGE_BYTES from the sources of Python's library; they compress as text.

    Raises:
        RuntimeError: This Python comes without its sources.
    """
    found: list[bytes] = []
    for text in _sources():
        found += [text[at : at + PAGE_BYTES] for at in range(0, len(text) - PAGE_BYTES, PAGE_BYTES)]
        if len(found) >= PAGES:
            return found[:PAGES]
    raise RuntimeError(f"the sources of Python's library make {len(found)} pages, {PAGES} are needed")


def html_page() -> bytes:
    """Return a page of HTML of HTML_BYTES: sources of Python's library, each line in an element of its own.

    Raises:
        RuntimeError: This Python comes without its sources.
    """
    made = ["<!doctype html><meta charset=utf-8><title>Sources</title>\n"]
    length, number = len(made[0]), 0
    for text in _sources():
        for line in text.decode("ascii", "replace").splitlines():
            number += 1
            made.append(f'<div class="line" id="L{number}"><code>{html.escape(line)}</code></div>\n')
            length += len(made[-1])
            if length >= HTML_BYTES:
                return "".join(made).encode("ascii", "replace")[:HTML_BYTES]
    raise RuntimeError(f"the sources of Python's library make {length} bytes, {HTML_BYTES} are needed")


def _sources() -> Iterator[bytes]:
    paths = sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py"))
    return (path.read_bytes() for path in paths if "site-packages" not in path.parts)


@contextmanager
def nginx(folder: Path, pages: Sequence[bytes] = ()) -> Iterator[Served]:
    """Run nginx with one worker on the server's core, and leave this process on the client's.

    Args:
        folder: Where to put the FILES, by name.
        pages: The bodies of /pages/0, /pages/1 and so on; /packed/0 and so on are the same as gzip.

    Yields:
        Origins "http", "https" (HTTP/1.1 only), "h2" (HTTP/2 by ALPN) and "cold" (HTTPS, a new connection and
        a full handshake for each request). "/page.html" is the page of HTML.
    """
    ports = {name: free_port() for name in ("http", "https", "h2", "cold")}
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(
        str(folder / "server.pem")
    )
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, length in FILES.items():
        (folder / name).write_bytes(b"x" * length)
    (folder / "page.html").write_bytes(html_page())
    (folder / "page.html.gz").write_bytes(gzip.compress(html_page(), 6))
    for name in ("pages", "packed"):
        (folder / name).mkdir()
    for number, page in enumerate(pages):
        (folder / "pages" / str(number)).write_bytes(page)
        (folder / "packed" / f"{number}.gz").write_bytes(gzip.compress(page, 6))
    http = HTTP.format(prefix=folder, small="x" * SMALL_BYTES, **ports)
    pin_to(SERVER_CORE)
    with Nginx(folder, http, list(ports.values()), MAIN) as server:
        pin_to(CLIENT_CORE)  # every process started from here on
        yield Served(
            origins={
                name: f"{'http' if name == 'http' else 'https'}://127.0.0.1:{port}"
                for name, port in ports.items()
            },
            ca=str(folder / "ca.pem"),
            cpu_s=lambda: sum(cpu_seconds_of(pid) for pid in server.worker_pids),
        )


@contextmanager
def test_server(*flags: str) -> Iterator[Served]:
    """Run `hurtle serve` on the server's core, and leave this process on the client's."""
    pin_to(SERVER_CORE)
    with ServerProcess("--no-tls", *flags) as server:
        pin_to(CLIENT_CORE)
        yield Served(origins={"http": server.origin}, cpu_s=lambda: cpu_seconds_of(server.pid))


class ServerProcess:
    """`hurtle serve` on a free loopback port; a context manager.

    Args:
        flags: Further flags of the command, such as `--latency 0.1`.
    """

    def __init__(self, *flags: str) -> None:
        self._command = [sys.executable, "-m", "hurtle", "serve", "--port", "0", *flags]
        self._process: subprocess.Popen[str] | None = None
        self.origin = ""
        """`http://127.0.0.1:PORT` once it is started."""

    def __enter__(self) -> Self:
        """Start the server and read its address from its first lines.

        Raises:
            RuntimeError: It ended without printing an address.
        """
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if found := re.search(r"http://[0-9.]+:\d+", line):
                self.origin = found[0]
                return self
        self.stop()
        raise RuntimeError(f"hurtle serve did not start: {''.join(said)}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server."""
        self.stop()

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """Stop the process, by its id, and wait for it."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
