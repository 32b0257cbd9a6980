"""`primp.AsyncClient` (Rust, with a browser's fingerprint where asked): as many workers as connections."""

import asyncio
from typing import TYPE_CHECKING

import primp

if TYPE_CHECKING:
    from hurtle.race.launch import Got, Job


async def fetch_all(job: "Job", got: "Got") -> None:
    """Fetch every URL."""
    waiting = enumerate(job.urls)
    async with (
        primp.AsyncClient(ca_cert_file=job.ca_path, timeout=30) as client,
        asyncio.TaskGroup() as workers,
    ):

        async def work() -> None:
            for index, url in waiting:
                response = await client.get(url)
                response.raise_for_status()
                got(index, len(response.content))

        for _ in range(job.connections):
            workers.create_task(work())


def fetch(job: "Job", got: "Got") -> None:
    """Run the event loop."""
    asyncio.run(fetch_all(job, got))
