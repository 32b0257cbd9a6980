"""Whether requests in flight really are: 10,000 requests, 1,000 at a time, a server that waits 100 ms.

Ten rounds of 100 ms are the floor. Usage: python -m benchmarks.concurrency [--help]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time

import hurtle
from benchmarks.report import publish, table
from benchmarks.server import ServerProcess

REQUESTS = 10_000
IN_FLIGHT = 1_000
LATENCY_MS = 100


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.concurrency", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="runs, each with a new engine (%(default)s)")
    runs: int = parser.parse_args().runs
    with ServerProcess() as server:
        seconds = [_run(f"{server.origin}/delay/{LATENCY_MS}") for _ in range(runs)]
    floor_s = REQUESTS / IN_FLIGHT * LATENCY_MS / 1000
    row = [f"{figure:.2f}" for figure in (floor_s, statistics.median(seconds), min(seconds), max(seconds))]
    publish(
        "concurrency",
        command=f"python -m benchmarks.concurrency --runs {runs}",
        method="Wall time from the call to the last response, the engine's start and every connect included.",
        body=table(["", "floor s", "median s", "best s", "worst s"], [[f"{REQUESTS:,} requests", *row]]),
        figures={"seconds": seconds, "floor_s": floor_s},
    )


def _run(url: str) -> float:
    """Return the seconds that all the requests took; every one of them must be ok."""
    clock = time.perf_counter()
    urls = itertools.repeat(url, REQUESTS)
    ok = sum(
        response.ok for response in hurtle.stream(urls, concurrency=IN_FLIGHT, concurrency_per_host=IN_FLIGHT)
    )
    seconds = time.perf_counter() - clock
    if ok != REQUESTS:
        raise SystemExit(f"{ok} of {REQUESTS} requests were ok")
    return seconds


if __name__ == "__main__":
    main()
