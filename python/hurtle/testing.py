"""The scripted test server, for tests of hurtle and of your own code. Loopback only.

Example:
    >>> with Server() as server:
    ...     server.url("/bytes/100").startswith("http://127.0.0.1:")
    True
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from hurtle._engine import TestServer
from hurtle.errors import ClosedError, ConfigError


@dataclass(frozen=True, slots=True)
class HostStats:
    """The requests to one host.

    Attributes:
        host: The Host header without its port, lower case.
        requests: Requests whose head has arrived.
        max_in_flight: The most requests in flight at once.
        first_request_us: Arrival of the first request, in microseconds since the server's start (monotonic).
        last_request_us: Arrival of the latest request, on the same clock.
        outage_requests: Requests that arrived during an outage.
    """

    host: str
    requests: int
    max_in_flight: int
    first_request_us: int
    last_request_us: int
    outage_requests: int


@dataclass(frozen=True, slots=True)
class LimitedStats:
    """The decisions of one limit of `/limited`.

    Attributes:
        host: The Host header without its port, lower case.
        key: The requests' `key`.
        accepted: Requests answered with 200.
        refused: Requests answered with 429.
        accepted_by_second: Requests accepted in each second since the server's start, up to the last second
            with a request, for at most an hour.
        refused_by_second: Requests refused in each of these seconds.
    """

    host: str
    key: str
    accepted: int
    refused: int
    accepted_by_second: tuple[int, ...]
    refused_by_second: tuple[int, ...]


class Server:
    """An HTTP/1.1 and HTTP/2 server on its own threads, without TLS and, with a throw-away CA, over TLS.

    A context manager, sync and async; it listens while it is open. The page "/" lists its endpoints.

    Args:
        host: A loopback address.
        port: The plain port; 0 picks a free one.
        tls_port: The TLS port; 0 picks a free one, None leaves TLS out.
        tls_fault: The TLS fault to simulate: expired, wrong_name, self_signed, unknown_ca, eof, stall.
        all_loopback: Answer on every address of 127.0.0.0/8, so that a test can have many hosts.
        latency: Seconds before every answer.
        jitter: Up to this many seconds more, at random.
        error_rate: The share of requests answered with `error_status`, from 0 to 1.
        error_status: The status of these errors.
        reset_rate: The share of requests whose connection is reset, from 0 to 1.
        robots: The answer to /robots.txt: a text, or a status such as 503. None: 404.
        robots_by_host: The answers that differ from it, by host.
        threads: The server's threads.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls_port: int | None = 0,
        tls_fault: str | None = None,
        all_loopback: bool = False,
        latency: float = 0.0,
        jitter: float = 0.0,
        error_rate: float = 0.0,
        error_status: int = 503,
        reset_rate: float = 0.0,
        robots: str | int | None = None,
        robots_by_host: Mapping[str, str | int] | None = None,
        threads: int = 1,
    ) -> None:
        self._host = host
        self._settings = {
            "host": host, "port": port, "tls_port": tls_port, "tls_fault": tls_fault,
            "all_loopback": all_loopback, "latency": latency, "jitter": jitter,
            "error_rate": error_rate, "error_status": error_status, "reset_rate": reset_rate,
            "robots": robots, "robots_by_host": dict(robots_by_host or {}), "threads": threads,
        }  # fmt: skip
        self._running: TestServer | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def start(self) -> Self:
        """Listen. A no-op if the server already listens.

        Raises:
            ConfigError: A setting is not allowed, such as an address that is not loopback.
            OSError: A port is taken.
        """
        if self._running is None:
            try:
                self._running = TestServer(**self._settings)  # type: ignore[arg-type]
            except ValueError as error:
                raise ConfigError(str(error)) from error
        return self

    def close(self) -> None:
        """Stop listening and drop every connection. Idempotent."""
        running, self._running = self._running, None
        if running is not None:
            running.close()
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.cleanup()

    def _server(self) -> TestServer:
        if self._running is None:
            raise ClosedError("the server is not running: use it in a with block, or call start()")
        return self._running

    def url(self, path: str = "/") -> str:
        """Return the http:// URL of a path."""
        return f"http://{self._netloc(self._server().port)}{path}"

    def tls_url(self, path: str = "/") -> str:
        """Return the https:// URL of a path.

        Raises:
            ValueError: The server has no TLS port.
        """
        port = self._server().tls_port
        if port is None:
            raise ValueError("this server has no TLS port")
        return f"https://localhost:{port}{path}"

    def _netloc(self, port: int) -> str:
        return f"[{self._host}]:{port}" if ":" in self._host else f"{self._host}:{port}"

    @property
    def ca_path(self) -> Path:
        """A PEM file with the server's throw-away CA, for `verify=`; it exists as long as the server."""
        if self._folder is None:
            pem = self._server().ca_pem
            self._folder = tempfile.TemporaryDirectory(prefix="hurtle-")
            Path(self._folder.name, "ca.pem").write_text(pem, encoding="ascii")
        return Path(self._folder.name, "ca.pem")

    def stats(self) -> dict[str, int]:
        """Return counters since the start: requests, connections, the most requests in flight to one host."""
        return self._server().stats()

    def host_stats(self) -> dict[str, HostStats]:
        """Return the requests to each host, by the Host header without its port, sorted."""
        return {row[0]: HostStats(*row) for row in self._server().host_stats()}

    def limited_stats(self) -> dict[tuple[str, str], LimitedStats]:
        """Return the decisions of `/limited`, by host and key, sorted.

        Example:
            >>> import hurtle
            >>> with Server() as server:
            ...     _ = hurtle.fetch([server.url("/limited?rate=2&per=60&key=a")] * 3, retries=0)
            ...     server.limited_stats()["127.0.0.1", "a"].refused
            1
        """
        return {
            (host, key): LimitedStats(host, key, accepted, refused, tuple(accepted_by), tuple(refused_by))
            for host, key, accepted, refused, accepted_by, refused_by in self._server().limited_stats()
        }

    def go_down(self, how: Literal["refuse", "reset", "stall"] | int = "refuse") -> None:
        """Take the server down until `come_back`; it is down when this returns.

        `stats()["outage_requests"]` counts requests that arrive during the outage; with "refuse" none arrive.
        Requests that arrived before are still answered, unless their connection is closed.

        Args:
            how: "refuse" closes every connection and refuses new ones, while the ports stay taken; "reset"
                resets the connection of every request; "stall" never answers a request that arrives; a number
                answers every request with that status.

        Raises:
            ConfigError: There is no such outage.
            OSError: Another process took a port while it was free.
        """
        try:
            self._server().go_down(how)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def come_back(self) -> None:
        """End the outage, on the same ports. A no-op if the server is up.

        Raises:
            OSError: Another process now listens on a port.
        """
        self._server().come_back()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
