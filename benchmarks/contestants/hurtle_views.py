"""hurtle, with bodies read where they lie: `content_view` in place of `content`."""

from __future__ import annotations

import hurtle
from benchmarks.contestants.harness import Job, check, measure


def consume(job: Job, requests: int) -> None:
    responses = hurtle.stream(
        job.urls(requests),
        concurrency=job.concurrency,
        concurrency_per_host=job.per_host,
        verify=job.ca or True,
    )
    for response in responses:
        check(job, response.status, len(response.content_view))


if __name__ == "__main__":
    measure(consume)
