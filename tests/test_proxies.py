"""Proxies: from options, from the environment as curl reads it, and on the command line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

import hurtle
from hurtle.proxies import environment_routes, given_routes
from hurtle.testing import Server

VARIABLES = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")


class Answering(BaseHTTPRequestHandler):
    """A proxy that answers each request itself, and notes what it was asked for."""

    seen: list[tuple[str, str, str | None]]

    def _answer(self) -> None:
        self.seen.append((self.command, self.path, self.headers.get("proxy-authorization")))
        self.send_response(200)
        self.send_header("content-length", "9")
        self.end_headers()
        self.wfile.write(b"by proxy\n")

    do_GET = do_POST = _answer  # noqa: N815  # names of the base class

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


class Proxy:
    """A running proxy: its address, and what it was asked for."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str | None]] = []
        handler = type("Handler", (Answering,), {"seen": self.seen})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    running = Proxy()
    yield running
    running.server.shutdown()
    running.server.server_close()


def by_proxy(urls: list[str], **options: object) -> list[bool]:
    results = hurtle.fetch(urls, retries=0, timeout=5, **options)  # type: ignore[arg-type]
    return [response.content == b"by proxy\n" for response in results]


def test_a_proxy_is_an_option_and_a_mapping_sends_some_directly(proxy: Proxy) -> None:
    with Server() as server:
        port = server.url("/").rstrip("/").rpartition(":")[2]
        urls = [server.url("/bytes/5"), f"http://localhost:{port}/bytes/5"]
        assert by_proxy(urls) == [False, False]
        assert by_proxy(urls, proxy=f"http://me:se%20cret@{proxy.address}") == [True, True]
        assert by_proxy(urls, proxies=[proxy.address]) == [True, True]
        assert by_proxy(urls, proxy={"all": proxy.address, "localhost": None}) == [True, False]
        assert by_proxy(urls, proxy={"http://127.0.0.0/8": proxy.address}) == [True, False]
        assert by_proxy(urls, proxy={"https": proxy.address}) == [False, False]
    assert proxy.seen[0] == ("GET", urls[0], "Basic bWU6c2UgY3JldA==")
    assert proxy.seen[2][2] is None


def test_the_closest_pattern_of_a_mapping_comes_first() -> None:
    given = {
        "all": "http://a.example:1", "*.example.com": None, "https": "http://b.example:1",
        "https://*.example.com": ["http://c.example:1"], "api.example.com": "http://d.example:1",
    }  # fmt: skip
    order = [pattern for pattern, _ in given_routes(given)]
    assert order[0] == "api.example.com"
    assert order.index("https://*.example.com") < order.index("*.example.com") < order.index("https")
    assert order[-1] == "all"


@pytest.mark.parametrize(
    "wrong",
    [
        "ftp://secret@p.example:1", "http://secret:secret@p.example", "http://secret@p.example:0", "", [],
        ["http://p.example:1", ""], {"ftp://x": "http://p.example:1"}, {1: "http://p.example:1"}, 7, True,
        {"a b": "http://p.example:1"}, "socks4://secret@p.example:1", "http://p.example:1/secret",
    ],
)  # fmt: skip
def test_what_is_no_proxy_is_refused_before_anything_is_sent(wrong: object, proxy: Proxy) -> None:
    with pytest.raises(hurtle.ConfigError) as raised:
        hurtle.fetch([f"http://{proxy.address}/"], proxy=wrong)  # type: ignore[arg-type]
    assert raised.value.option == "proxy"
    assert "secret" not in str(raised.value)
    assert not proxy.seen


def test_block_private_is_not_promised_through_a_proxy(proxy: Proxy) -> None:
    with pytest.raises(hurtle.ConfigError, match="block_private"):
        hurtle.fetch([], proxy=proxy.address, block_private=True)
    hurtle.fetch([], proxy={"all": None}, block_private=True)


def test_the_environment_is_read_unless_an_option_says_otherwise(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", f"http://{proxy.address}")
    with Server() as server:
        url = [server.url("/bytes/5")]
        assert by_proxy(url) == [True]
        assert by_proxy(url, trust_env=False) == [False]
        assert by_proxy(url, proxy=False) == [False]
        assert by_proxy(url, proxy={"https": "http://p.example:1"}) == [False]
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert by_proxy(url) == [False]


def test_the_environments_names() -> None:
    http, https, every = "http://a.example:1", "http://b.example:1", "http://c.example:1"
    assert environment_routes({"HTTP_PROXY": http}) == ()
    assert environment_routes({"http_proxy": http, "HTTPS_PROXY": https, "ALL_PROXY": every}) == (
        ("http", (http,)), ("https", (https,)), ("all", (every,)),
    )  # fmt: skip
    assert environment_routes({"https_proxy": https, "HTTPS_PROXY": every}) == (("https", (https,)),)
    assert environment_routes({"http_proxy": http, "no_proxy": "*"}) == ()
    assert environment_routes({"no_proxy": "a.example"}) == ()


HOSTS = ("localhost", "a.localhost", "x.a.localhost", "ba.localhost", "A.LOCALHOST", "127.1.2.3", "[::1]")
NO_PROXY = (
    "", "localhost", "a.localhost", ".a.localhost", "a.localhost,", " a.localhost , b",
    "A.Localhost", "x.a.localhost a.localhost", "127.1.2.3", "127.0.0.0/8", "127.1.2.0/24", "127.1.3.0/24",
    "::1", "*", "local", "a.localhost.",
)  # fmt: skip

NOT_AS_CURL = {
    "*.a.localhost": {"a.localhost", "x.a.localhost", "A.LOCALHOST"},
    "[::1]": {"[::1]"},
    "::/64": {"[::1]"},
}
"""Entries that curl 7.88 passes over, and the hosts that they name here."""


def uses_proxy(curl: str, url: str, environment: dict[str, str]) -> bool:
    done = subprocess.run(
        [curl, "--silent", "--max-time", "5", url], env=environment, capture_output=True, check=False
    )
    return done.stdout == b"by proxy\n"


@pytest.mark.parametrize("entries", NO_PROXY)
def test_no_proxy_means_what_it_means_to_curl(
    entries: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    environment = {"http_proxy": f"http://{proxy.address}", "no_proxy": entries}
    urls = [f"http://{host}:9/" for host in HOSTS]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    expected = [uses_proxy(curl, url, environment) for url in urls]
    assert dict(zip(HOSTS, by_proxy(urls), strict=True)) == dict(zip(HOSTS, expected, strict=True))


@pytest.mark.parametrize(("entries", "direct"), NOT_AS_CURL.items())
def test_no_proxy_understands_more_than_curl(
    entries: str, direct: set[str], proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
    monkeypatch.setenv("no_proxy", entries)
    used = by_proxy([f"http://{host}:9/" for host in HOSTS])
    assert {host for host, through in zip(HOSTS, used, strict=True) if not through} == direct


def test_the_command_line_has_it_and_no_output_has_its_password(proxy: Proxy, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = ["-x", f"http://me:canary@{proxy.address}", "-x", f"http://me:canary@{proxy.address}"]
    command = [sys.executable, "-m", "hurtle", "fetch", "http://127.0.0.1:9/", "-o", f"{out}/", *given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert proxy.seen == [("GET", "http://127.0.0.1:9/", "Basic bWU6Y2FuYXJ5")]
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 1
    assert not any(b"canary" in text for text in (*written, done.stdout.encode(), done.stderr.encode()))
