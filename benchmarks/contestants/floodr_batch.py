"""floodr: lists of requests through one client, the only interface it has."""

from __future__ import annotations

import asyncio
from itertools import islice

from floodr import Client, Request

from benchmarks.contestants.harness import Job, check, measure

LIST = 10_000


def consume(job: Job, requests: int) -> None:
    asyncio.run(_consume(job, requests))


async def _consume(job: Job, requests: int) -> None:
    client = Client(max_connections=job.concurrency)
    urls = job.urls(requests)
    while asked := [Request(url=url) for url in islice(urls, LIST)]:
        for response in await client.request(asked, max_concurrent=job.concurrency):
            check(job, response.status_code, len(response.content))


if __name__ == "__main__":
    measure(consume)
