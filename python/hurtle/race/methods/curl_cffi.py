"""`curl_cffi.AsyncSession` (libcurl, with a browser's fingerprint where asked): handles reused, workers."""

import asyncio
from typing import TYPE_CHECKING

import curl_cffi

if TYPE_CHECKING:
    from hurtle.race.launch import Got, Job


async def fetch_all(job: "Job", got: "Got") -> None:
    """Fetch every URL."""
    waiting = enumerate(job.urls)
    trust = job.ca_path or True
    async with (
        curl_cffi.AsyncSession(max_clients=job.connections, verify=trust, timeout=30) as session,
        asyncio.TaskGroup() as workers,
    ):

        async def work() -> None:
            for index, url in waiting:
                response = await session.get(url)
                response.raise_for_status()
                got(index, len(response.content))

        for _ in range(job.connections):
            workers.create_task(work())


def fetch(job: "Job", got: "Got") -> None:
    """Run the event loop."""
    asyncio.run(fetch_all(job, got))
