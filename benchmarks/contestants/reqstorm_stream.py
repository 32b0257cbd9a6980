"""reqstorm on uvloop: its asynchronous `stream`, which takes results as they complete."""

from __future__ import annotations

import ssl

import reqstorm
import uvloop

from benchmarks.contestants.harness import Job, check, measure


def consume(job: Job, requests: int) -> None:
    uvloop.run(_consume(job, requests))


async def _consume(job: Job, requests: int) -> None:
    results = reqstorm.stream(
        job.urls(requests),
        concurrency=job.concurrency,
        concurrency_per_host=job.per_host,
        ssl=ssl.create_default_context(cafile=job.ca) if job.ca else None,
    )
    async for result in results:
        check(job, result.status, len(result.body))


if __name__ == "__main__":
    measure(consume)
