"""hurtle, as its README shows it: one for-loop over `stream`."""

from __future__ import annotations

from typing import Any

import hurtle
from benchmarks.contestants.harness import Job, check, measure


def consume(job: Job, requests: int) -> None:
    options: Any = {
        "concurrency": job.concurrency,
        "concurrency_per_host": job.per_host,
        "verify": job.ca or True,
        **job.options,
    }
    responses = hurtle.stream(job.urls(requests), **options)
    for response in responses:
        check(job, response.status, len(response.content))


if __name__ == "__main__":
    measure(consume)
