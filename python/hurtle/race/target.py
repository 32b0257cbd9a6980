"""What is fetched: the built-in server in its own process, or the user's own URLs."""

import contextlib
import ipaddress
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hurtle.api import fetch
from hurtle.errors import ConfigError, HurtleError
from hurtle.sources import open_source

if TYPE_CHECKING:
    from hurtle.race.settings import Settings

STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A list of URLs, and the known size of each body in bytes."""

    urls: Sequence[str]
    expected: Sequence[int | None]
    """By URL; None if two fetches differed, or neither arrived."""
    ca_path: str | None
    connections: int
    """The most requests in flight of every contestant."""
    server: str
    """The server as text."""


@contextlib.contextmanager
def open_target(settings: "Settings", before: Callable[[Target], None] | None = None) -> Iterator[Target]:
    """Start the built-in server, or fetch the user's URLs to learn their sizes, and yield the target.

    `before` is called with the target before the first request, even before the user's URLs are sized.

    Raises:
        ConfigError: The list cannot be read or is empty.
        HurtleError: The built-in server did not start.
    """
    if settings.url_file is None and settings.server is None:
        with _serving(settings) as (origin, ca_path):
            size = settings.body_bytes
            pair = [f"{origin}/bytes/{size}?seed={seed}" for seed in (1, 2)]
            urls = list(itertools.islice(itertools.cycle(pair), settings.requests or 100))
            server = f"hurtle serve, {'HTTP' if settings.http else 'HTTPS'}"
            target = Target(
                urls=urls,
                expected=[size] * len(urls),
                ca_path=ca_path,
                connections=settings.connections,
                server=server,
            )
            if before is not None:
                before(target)
            yield target
        return
    listed = _listed(settings)
    urls = list(itertools.islice(itertools.cycle(listed), settings.requests or len(listed)))
    hosts = sorted({urlsplit(url).hostname or "" for url in urls})
    target = Target(
        urls=urls,
        expected=[None] * len(urls),
        ca_path=settings.ca_path,
        connections=settings.connections,
        server=hosts[0] if len(hosts) == 1 else f"{len(hosts):,} hosts",
    )
    if before is not None:
        before(target)
    sizes = _sizes(sorted(set(urls)), settings)
    yield replace(target, expected=[sizes[url] for url in urls])


def is_loopback(url: str) -> bool:
    """Return whether a URL's host is this machine, judged by its name alone."""
    host = urlsplit(url).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def _listed(settings: "Settings") -> list[str]:
    """Return the user's own URLs, each as often as it is listed."""
    if settings.server is not None:
        return [settings.server] * (settings.requests or 100)
    assert settings.url_file is not None
    with contextlib.closing(open_source(settings.url_file)) as rows:
        urls = [row if isinstance(row, str) else _url_of(row) for row in rows]
    if not urls:
        raise ConfigError(f"{settings.url_file} contains no URL", option="url_file")
    return urls


def _url_of(row: object) -> str:
    url = row.get("url") if isinstance(row, dict) else getattr(row, "url", None)
    if not isinstance(url, str):
        raise ConfigError(f"a race fetches URLs, not {row!r}", option="url_file")
    return url


def _sizes(urls: Sequence[str], settings: "Settings") -> dict[str, int | None]:
    """Fetch every URL twice and return the size of its body; None if the two sizes differ."""
    first = _look(urls, settings)
    if all(size is None for size in first):
        return dict.fromkeys(urls)  # nothing answers: the contestants will report that
    return {url: a if a == b else None for url, a, b in zip(urls, first, _look(urls, settings), strict=True)}


def _look(urls: Sequence[str], settings: "Settings") -> list[int | None]:
    """Return the size of every body, within the limits of a contestant in flight and in time."""
    limit = settings.connections
    results = fetch(
        urls,
        concurrency=limit,
        concurrency_per_host=limit,
        retries=0,
        timeout=settings.limit,
        max_duration=settings.limit,
        verify=settings.ca_path or True,
    )
    return [len(response.content) if response.error is None else None for response in results]


@contextlib.contextmanager
def _serving(settings: "Settings") -> Iterator[tuple[str, str | None]]:
    """Run `hurtle serve` in another process and yield its origin, and its certificate authority for HTTPS."""
    command = [sys.executable, "-m", "hurtle", "serve", "--latency", str(settings.latency)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=subprocess.STDOUT, text=True
    ) as server:
        try:
            assert server.stdout is not None
            lines = [server.stdout.readline().split() for _ in range(3)]
            said = dict(words for words in lines if len(words) == 2)
            if not said.keys() >= {"http", "https", "ca"}:
                raise HurtleError(f"hurtle serve did not start: {' '.join(itertools.chain(*lines))}")
            yield (said["http"], None) if settings.http else (said["https"], said["ca"])
        finally:
            server.terminate()
            try:
                server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
