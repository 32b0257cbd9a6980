"""Every case of the benchmark, by name and in the order of RESULTS.md."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks import files, hostile, import_time, memory, output, politeness, scaling, side_by_side
from benchmarks.measure import Terms
from benchmarks.report import Result
from benchmarks.servers import FILES, HTML_BYTES, SMALL_BYTES, nginx, test_server
from benchmarks.side_by_side import Race

RACES = (
    Race(
        name="keepalive",
        title="Small keep-alive GET over HTTP",
        server=nginx,
        contestants=(
            "hurtle", "hurtle, from a list", "pycurl multi", "pyreqwest", "floodr", "aiohttp+uvloop",
            "reqstorm+uvloop", "reqstorm", "wrk", "h2load",
        ),
        requests=300_000,
    ),
    Race(
        name="https",
        title="Small keep-alive GET over HTTPS",
        server=nginx,
        origin="https",
        contestants=("hurtle", "pycurl multi", "pyreqwest", "aiohttp+uvloop", "wrk"),
        requests=200_000,
        note="TLS 1.3; the clients in Python verify the certificate.",
        absent={"floodr": "it takes no CA"},
    ),
    Race(
        name="http2",
        title="Small GET over HTTP/2",
        server=nginx,
        origin="h2",
        contestants=("hurtle", "pycurl multi", "pyreqwest", "h2load"),
        requests=100_000,
        note="Over TLS, by ALPN; h2load has all streams on one connection.",
        absent={"wrk, aiohttp, reqstorm": "no HTTP/2"},
    ),
    Race(
        name="body_10k",
        title="Bodies of 10 KB",
        server=nginx,
        path="/10k",
        body_bytes=FILES["10k"],
        contestants=("hurtle", "hurtle, views", "pycurl multi", "pyreqwest", "aiohttp+uvloop", "wrk"),
        requests=150_000,
        note="A file, sent with sendfile.",
    ),
    Race(
        name="body_1m",
        title="Bodies of 1 MB",
        server=nginx,
        path="/1m",
        body_bytes=FILES["1m"],
        contestants=("hurtle", "hurtle, views", "pycurl multi", "pyreqwest", "aiohttp+uvloop", "wrk"),
        requests=4_000,
        fewest=1_000,
        note="A file, sent with sendfile.",
    ),
    Race(
        name="fresh",
        title="A fresh connection for each request",
        server=nginx,
        path="/fresh",
        contestants=("hurtle", "pycurl multi", "pyreqwest", "aiohttp+uvloop", "wrk"),
        requests=40_000,
        note="The server closes after each answer.",
    ),
    Race(
        name="page",
        title="A page of 242 KB of HTML as gzip",
        server=nginx,
        path="/page.html",
        body_bytes=HTML_BYTES,
        contestants=("hurtle", "pycurl multi", "aiohttp+uvloop"),
        requests=10_000,
        fewest=1_000,
        note="Keep-alive, plain HTTP; decoded by the client.",
        absent={"wrk": "it does not decode"},
    ),
    Race(
        name="cold",
        title="The same page over HTTPS, cold",
        server=nginx,
        origin="cold",
        path="/page.html",
        body_bytes=HTML_BYTES,
        contestants=("hurtle", "pycurl multi", "aiohttp+uvloop"),
        requests=6_000,
        fewest=1_000,
        note="A new connection with a full handshake of TLS 1.3 each time; all verify the certificate.",
        absent={"wrk": "it does not decode"},
    ),
    Race(
        name="latency",
        title="A server that takes 20 ms, 1,000 requests in flight",
        server=lambda _: test_server("--latency", "0.02"),
        path=f"/bytes/{SMALL_BYTES}",
        concurrency=1_000,
        contestants=("hurtle", "pycurl multi", "pyreqwest", "aiohttp+uvloop", "wrk"),
        requests=80_000,
        fewest=15_000,
        note="`hurtle serve --latency 0.02`, which allows at most 50,000 requests/s.",
    ),
    Race(
        name="hosts",
        title="10,000 hosts",
        server=lambda _: test_server("--all-loopback"),
        path=f"/bytes/{SMALL_BYTES}",
        concurrency=256,
        hosts=10_000,
        contestants=("hurtle", "pycurl multi", "pyreqwest", "aiohttp+uvloop"),
        requests=50_000,
        fewest=20_000,
        note="127.0.0.0/8 in turn, at most 10 at a time to one, against `hurtle serve --all-loopback`.",
        absent={"wrk, h2load": "one host only"},
    ),
)  # fmt: skip

CASES: dict[str, Callable[[Terms], Result]] = {
    **{race.name: partial(side_by_side.measure, race) for race in RACES},
    "parquet": memory.parquet,
    "flat": memory.flat,
    "hosts_memory": memory.hosts,
    "bodies_memory": memory.bodies,
    "files": files.measure,
    "output": output.measure,
    "output_memory": output.memory,
    "scaling": scaling.measure,
    "limits": politeness.limits,
    "slow_hosts": politeness.slow_hosts,
    "hostile": hostile.measure,
    "many_hosts": politeness.many_hosts,
    "import_time": import_time.measure,
}
