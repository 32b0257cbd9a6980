"""What every contestant in Python shares: its task from the command line, the clocks, the answer in JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

WARM_UP_SHARE = 20
"""One request in so many is sent first and not counted: imports, caches and predictors are warm then."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to fetch."""

    url: str
    requests: int
    concurrency: int
    body_bytes: int


def measure(consume: Callable[[Job, int], None]) -> None:
    """Run the contestant on the job of the command line and print its figures.

    Args:
        consume: Fetches the job's URL so many times and checks every answer.
    """
    url, requests, concurrency, body_bytes = sys.argv[1:]
    job = Job(url, int(requests), int(concurrency), int(body_bytes))
    warm_up = max(job.concurrency, job.requests // WARM_UP_SHARE)
    consume(job, warm_up)
    cpu_s, clock = _cpu_seconds(), time.perf_counter()
    consume(job, job.requests)
    wall_s, cpu_s = time.perf_counter() - clock, _cpu_seconds() - cpu_s
    figures = {"requests": job.requests, "warm_up": warm_up, "wall_s": wall_s, "client_cpu_s": cpu_s}
    print(json.dumps(figures))


def _cpu_seconds() -> float:
    """Return the user and system time of this process, all its threads included."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
