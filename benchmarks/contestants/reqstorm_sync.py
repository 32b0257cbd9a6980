"""reqstorm as most of its README shows it: the blocking `stream_sync`, on asyncio's own loop."""

from __future__ import annotations

import ssl

import reqstorm

from benchmarks.contestants.harness import Job, check, measure


def consume(job: Job, requests: int) -> None:
    results = reqstorm.stream_sync(
        job.urls(requests),
        concurrency=job.concurrency,
        concurrency_per_host=job.per_host,
        ssl=ssl.create_default_context(cafile=job.ca) if job.ca else None,
    )
    for result in results:
        check(job, result.status, len(result.body))


if __name__ == "__main__":
    measure(consume)
