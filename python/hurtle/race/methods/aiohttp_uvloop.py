"""`aiohttp` on uvloop, tuned: as many workers as connections, no task per URL."""

import asyncio
import ssl
from typing import TYPE_CHECKING

import aiohttp
import uvloop

if TYPE_CHECKING:
    from hurtle.race.launch import Got, Job


async def fetch_all(job: "Job", got: "Got") -> None:
    """Fetch every URL."""
    trust = ssl.create_default_context(cafile=job.ca_path)
    connector = aiohttp.TCPConnector(limit=job.connections, ssl=trust)
    waiting = enumerate(job.urls)
    async with (
        aiohttp.ClientSession(connector=connector, raise_for_status=True) as session,
        asyncio.TaskGroup() as workers,
    ):

        async def work() -> None:
            for index, url in waiting:
                async with session.get(url) as response:
                    got(index, len(await response.read()))

        for _ in range(job.connections):
            workers.create_task(work())


def fetch(job: "Job", got: "Got") -> None:
    """Run the event loop."""
    uvloop.run(fetch_all(job, got))
