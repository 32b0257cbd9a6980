"""pyreqwest on uvloop: one client, as many workers as connections, no task per URL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import uvloop
from pyreqwest.client import Client, ClientBuilder

from benchmarks.contestants.harness import Job, check, measure


def consume(job: Job, requests: int) -> None:
    uvloop.run(_consume(job, _client(job), requests))


def _client(job: Job) -> Client:
    builder = ClientBuilder().max_connections(job.concurrency).http2(job.http2)
    if job.ca:
        builder = builder.add_root_certificate_pem(Path(job.ca).read_bytes())
    return builder.build()


async def _consume(job: Job, client: Client, requests: int) -> None:
    urls = job.urls(requests)
    async with client, asyncio.TaskGroup() as workers:
        for _ in range(job.concurrency):
            workers.create_task(_work(client, urls, job))


async def _work(client: Client, urls: Iterator[str], job: Job) -> None:
    for url in urls:
        response = await client.get(url).build().send()
        check(job, response.status, len(await response.bytes()))


if __name__ == "__main__":
    measure(consume)
