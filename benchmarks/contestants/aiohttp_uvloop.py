"""aiohttp on uvloop: one session, as many workers as connections, no task per URL."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator

import aiohttp
import uvloop

from benchmarks.contestants.harness import Job, check, measure


def consume(job: Job, requests: int) -> None:
    uvloop.run(_consume(job, requests))


async def _consume(job: Job, requests: int) -> None:
    connector = aiohttp.TCPConnector(
        limit=job.concurrency,
        limit_per_host=job.per_host,
        ssl=ssl.create_default_context(cafile=job.ca) if job.ca else True,
    )
    urls = job.urls(requests)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as workers:
        for _ in range(job.concurrency):
            workers.create_task(_work(session, urls, job))


async def _work(session: aiohttp.ClientSession, urls: Iterator[str], job: Job) -> None:
    for url in urls:
        async with session.get(url) as response:
            check(job, response.status, len(await response.read()))


if __name__ == "__main__":
    measure(consume)
