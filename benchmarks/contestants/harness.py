"""What all Python contestants share: the job from the command line, the clocks, the answer in JSON."""

from __future__ import annotations

import itertools
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

WARM_UP_SHARE = 20
"""One request in this many is sent first and not counted, to warm up imports, caches and predictors."""

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to fetch, and on which terms: the same for every contestant of a case."""

    url: str
    requests: int
    concurrency: int
    """Connections, or streams of HTTP/2, at a time."""
    body_bytes: int
    """The length that every body must have."""
    hosts: int = 1
    """How many addresses of 127.0.0.0/8 the requests go to, in turn."""
    ca: str | None = None
    """A PEM file to verify the server with."""
    http2: bool = False
    repeat: int = 1
    """How often to fetch the whole list, each time from scratch."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further options of hurtle, for cases that compare it with itself."""

    def urls(self, requests: int) -> Iterator[str]:
        """Yield that many URLs, lazily."""
        if self.hosts == 1:
            return itertools.repeat(self.url, requests)
        urls = [self.url.replace(LOOPBACK, address(number)) for number in range(self.hosts)]
        return itertools.islice(itertools.cycle(urls), requests)

    @property
    def per_host(self) -> int:
        """How many requests one host may have in flight, so that all hosts together have `concurrency`."""
        return self.concurrency if self.hosts == 1 else min(self.concurrency, 10)

    def to_json(self) -> str:
        """Return it as text, for a command line."""
        return json.dumps(asdict(self))


def address(number: int) -> str:
    """Return a different loopback address for each number below 2**24 - 2**16."""
    number += 1 << 16
    return f"127.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


class WrongAnswerError(Exception):
    """A response differs from what the job expects."""


def check(job: Job, status: int | None, body_bytes: int) -> None:
    """Compare one response with the job.

    Raises:
        WrongAnswerError: Another status than 200, or another length.
    """
    if status != 200 or body_bytes != job.body_bytes:
        raise WrongAnswerError(f"status {status}, {body_bytes} bytes instead of {job.body_bytes}")


def measure(consume: Callable[[Job, int], None]) -> None:
    """Run the contestant on the job of the command line and print its figures.

    Args:
        consume: Fetches that many of the job's URLs and checks every answer.
    """
    job = Job(**json.loads(sys.argv[1]))
    warm_up = max(job.concurrency, job.requests // WARM_UP_SHARE)
    consume(job, warm_up)
    cpu_s, clock = _cpu_seconds(), time.perf_counter()
    for _ in range(job.repeat):
        consume(job, job.requests)
    wall_s, cpu_s = time.perf_counter() - clock, _cpu_seconds() - cpu_s
    requests = job.requests * job.repeat
    figures = {"requests": requests, "warm_up": warm_up, "wall_s": wall_s, "client_cpu_s": cpu_s}
    print(json.dumps(figures))


def _cpu_seconds() -> float:
    """Return the user and system time of this process, all its threads included."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
