"""aiohttp on uvloop, honestly tuned: one session, as many workers as connections, no task per URL."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import aiohttp
import uvloop

from benchmarks.contestants.harness import Job, measure


def consume(job: Job, requests: int) -> None:
    uvloop.run(_consume(job, requests))


async def _consume(job: Job, requests: int) -> None:
    urls = itertools.repeat(job.url, requests)
    connector = aiohttp.TCPConnector(limit=job.concurrency, limit_per_host=job.concurrency)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as workers:
        for _ in range(job.concurrency):
            workers.create_task(_work(session, urls, job.body_bytes))


async def _work(session: aiohttp.ClientSession, urls: Iterator[str], body_bytes: int) -> None:
    for url in urls:
        async with session.get(url) as response:
            body = await response.read()
            if len(body) != body_bytes or response.status != 200:
                raise SystemExit(f"a wrong answer: {response.status}, {len(body)} bytes")


if __name__ == "__main__":
    measure(consume)
