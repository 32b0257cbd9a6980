"""The small keep-alive GET: processor time per request of hurtle, aiohttp on uvloop, and wrk, side by side.

nginx on one core, each client in turn alone on the other. Usage: python -m benchmarks.keepalive [--help]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import CLIENT_CORE, SERVER_CORE, cpu_seconds_of, pin_to
from benchmarks.measure import Sample, Spread, interleave
from benchmarks.report import publish, table
from tests.corpus.nginx import Nginx, free_port

BODY_BYTES = 100
RUN_SECONDS_AT_MOST = 300

MAIN = "worker_rlimit_nofile 65536;"
HTTP = """
keepalive_requests 1000000000;
keepalive_timeout 300s;
default_type text/plain;
server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "{body}"; }} }}
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One measurement's terms."""

    runs: int
    requests: int
    slow_requests: int
    """Requests for a contestant that needs ten times the processor time."""
    concurrency: int


def main() -> None:
    """Measure and publish."""
    setting = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        pin_to(SERVER_CORE)
        with Nginx(Path(folder), HTTP.format(port=port, body="x" * BODY_BYTES), [port], MAIN) as server:
            pin_to(CLIENT_CORE)  # every process started from here on
            samples = interleave(
                _contestants(f"http://127.0.0.1:{port}/", setting, server), setting.runs, print
            )
    _publish(setting, samples)


def _arguments() -> Setting:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.keepalive", description=__doc__)
    parser.add_argument(
        "--runs", type=int, default=5, help="runs of each contestant that count (%(default)s)"
    )
    parser.add_argument("--requests", type=int, default=300_000, help="requests of one run (%(default)s)")
    parser.add_argument(
        "--slow-requests", type=int, default=40_000, help="the same for aiohttp (%(default)s)"
    )
    parser.add_argument("--concurrency", type=int, default=64, help="connections (%(default)s)")
    return Setting(**vars(parser.parse_args()))


def _contestants(url: str, setting: Setting, server: Nginx) -> dict[str, Callable[[], Sample]]:
    return {
        "hurtle": lambda: _python("hurtle_stream", url, setting.requests, setting, server),
        "aiohttp+uvloop": lambda: _python("aiohttp_uvloop", url, setting.slow_requests, setting, server),
        "wrk": lambda: _wrk(url, setting, server),
    }


def _python(name: str, url: str, requests: int, setting: Setting, server: Nginx) -> Sample:
    """Run one of benchmarks/contestants in a process of its own."""
    task = [url, str(requests), str(setting.concurrency), str(BODY_BYTES)]
    command = [sys.executable, "-m", f"benchmarks.contestants.{name}", *task]
    server_cpu_s = _server_cpu(server)
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=RUN_SECONDS_AT_MOST, check=True)
    figures = json.loads(done.stdout)
    server_cpu_s = _server_cpu(server) - server_cpu_s
    # The server answered the warm-up too: only the counted requests' share of its time belongs here.
    counted = requests / (requests + figures.pop("warm_up"))
    return Sample(**figures, server_cpu_s=server_cpu_s * counted)


def _wrk(url: str, setting: Setting, server: Nginx) -> Sample:
    """Run wrk with one thread; its start-up is too short to subtract."""
    seconds = max(2, round(setting.requests / 60_000))
    command = ["wrk", "-t", "1", "-c", str(setting.concurrency), "-d", f"{seconds}s", url]
    server_cpu_s, clock = _server_cpu(server), time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    words = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.perf_counter() - clock
    found = re.search(r"(\d+) requests in", words)
    if process.returncode != 0 or found is None or "Non-2xx" in words:
        raise SystemExit(f"wrk failed: {words}")
    return Sample(
        requests=int(found[1]),
        wall_s=wall_s,
        client_cpu_s=usage.ru_utime + usage.ru_stime,
        server_cpu_s=_server_cpu(server) - server_cpu_s,
    )


def _server_cpu(server: Nginx) -> float:
    return sum(cpu_seconds_of(pid) for pid in server.worker_pids)


def _publish(setting: Setting, samples: dict[str, list[Sample]]) -> None:
    client = {name: Spread.of([sample.client_cpu_us for sample in taken]) for name, taken in samples.items()}
    rows = [
        [
            name,
            client[name].show(2),
            f"{client[name].median / client['hurtle'].median:.2f}",
            Spread.of([sample.rate_per_s for sample in taken]).show(0),
            Spread.of([sample.server_cpu_us for sample in taken]).show(1),
            f"{max(sample.steal for sample in taken):.1%}",
            f"{max(sample.by_others for sample in taken):.1%}",
        ]
        for name, taken in samples.items()
    ]
    header = ["client", "client µs/request", "÷ hurtle", "requests/s", "server µs/request", "steal", "others"]
    publish(
        "keepalive",
        command=f"python -m benchmarks.keepalive --runs {setting.runs} --concurrency {setting.concurrency}",
        method=(
            f"GET of {BODY_BYTES} bytes over {setting.concurrency} keep-alive connections; nginx with one"
            f" worker on core {SERVER_CORE}, the client on core {CLIENT_CORE}; medians (lowest-highest) of"
            f" {setting.runs} interleaved runs; user and system time of the client after a warm-up; every"
            " body's length checked, but for wrk's."
        ),
        body=table(header, rows),
        figures={
            "samples": {name: [dataclasses.asdict(one) for one in taken] for name, taken in samples.items()}
        },
    )


if __name__ == "__main__":
    main()
