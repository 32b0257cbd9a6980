"""hurtle with a list of URLs instead of an iterator: the engine takes rows of a list in bulk."""

from __future__ import annotations

import hurtle
from benchmarks.contestants.harness import Job, check, measure


def consume(job: Job, requests: int) -> None:
    responses = hurtle.stream(
        list(job.urls(requests)),
        concurrency=job.concurrency,
        concurrency_per_host=job.per_host,
        verify=job.ca or True,
    )
    for response in responses:
        check(job, response.status, len(response.content))


if __name__ == "__main__":
    measure(consume)
