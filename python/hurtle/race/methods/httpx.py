"""`httpx.AsyncClient` with a limit, as many workers as connections."""

import asyncio
import ssl
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from hurtle.race.launch import Got, Job


async def fetch_all(job: "Job", got: "Got") -> None:
    """Fetch every URL."""
    trust = ssl.create_default_context(cafile=job.ca_path)
    limits = httpx.Limits(max_connections=job.connections, max_keepalive_connections=job.connections)
    waiting = enumerate(job.urls)
    async with (
        httpx.AsyncClient(verify=trust, limits=limits, timeout=30, follow_redirects=True) as client,
        asyncio.TaskGroup() as workers,
    ):

        async def work() -> None:
            for index, url in waiting:
                response = (await client.get(url)).raise_for_status()
                got(index, len(response.content))

        for _ in range(job.connections):
            workers.create_task(work())


def fetch(job: "Job", got: "Got") -> None:
    """Run the event loop."""
    asyncio.run(fetch_all(job, got))
