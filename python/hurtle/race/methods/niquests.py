"""`niquests.AsyncSession`, as many workers as connections."""

import asyncio
from typing import TYPE_CHECKING

import niquests

if TYPE_CHECKING:
    from hurtle.race.launch import Got, Job


async def fetch_all(job: "Job", got: "Got") -> None:
    """Fetch every URL."""
    waiting = enumerate(job.urls)
    pool = {"pool_connections": job.connections, "pool_maxsize": job.connections}
    async with niquests.AsyncSession(**pool) as session, asyncio.TaskGroup() as workers:
        session.verify = job.ca_path or True

        async def work() -> None:
            for index, url in waiting:
                response = await session.get(url, timeout=30)
                response.raise_for_status()
                got(index, len(response.content))

        for _ in range(job.connections):
            workers.create_task(work())


def fetch(job: "Job", got: "Got") -> None:
    """Run the event loop."""
    asyncio.run(fetch_all(job, got))
