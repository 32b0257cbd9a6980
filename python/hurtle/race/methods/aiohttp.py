"""`asyncio` and `aiohttp`: a connector with a limit, `gather` over all tasks."""

import asyncio
import ssl
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from hurtle.race.launch import Got, Job


async def fetch_all(job: "Job", got: "Got") -> None:
    """Fetch every URL."""
    trust = ssl.create_default_context(cafile=job.ca_path)
    connector = aiohttp.TCPConnector(limit=job.connections, ssl=trust)
    async with aiohttp.ClientSession(connector=connector, raise_for_status=True) as session:

        async def load(index: int, url: str) -> None:
            async with session.get(url) as response:
                got(index, len(await response.read()))

        await asyncio.gather(*(load(index, url) for index, url in enumerate(job.urls)))


def fetch(job: "Job", got: "Got") -> None:
    """Run the event loop."""
    asyncio.run(fetch_all(job, got))
