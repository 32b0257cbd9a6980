"""hurtle, as its README shows it: one for-loop over `stream`. Usage: URL REQUESTS CONCURRENCY BODY_BYTES."""

from __future__ import annotations

import itertools

import hurtle
from benchmarks.contestants.harness import Job, measure


def consume(job: Job, requests: int) -> None:
    urls = itertools.repeat(job.url, requests)
    for response in hurtle.stream(urls, concurrency=job.concurrency, concurrency_per_host=job.concurrency):
        if len(response.content) != job.body_bytes or response.status != 200:
            raise SystemExit(f"a wrong answer: {response!r}")


if __name__ == "__main__":
    measure(consume)
