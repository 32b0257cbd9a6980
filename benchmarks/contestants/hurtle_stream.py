"""hurtle, as its README shows it: one for-loop over `stream`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import hurtle
from benchmarks.contestants.harness import Job, check, measure


def streamed(job: Job, urls: Iterable[str]) -> Iterator[hurtle.Response]:
    """Return the responses to some URLs, on the job's terms."""
    options: Any = {
        "concurrency": job.concurrency,
        "concurrency_per_host": job.per_host,
        "verify": job.ca or True,
        **job.options,
    }
    return hurtle.stream(urls, **options)


def consume(job: Job, requests: int) -> None:
    for response in streamed(job, job.urls(requests)):
        check(job, response.status, len(response.content))


if __name__ == "__main__":
    measure(consume)
