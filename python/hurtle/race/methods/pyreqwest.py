"""pyreqwest (reqwest, from Rust): one client, as many workers as connections."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from pyreqwest.client import ClientBuilder

if TYPE_CHECKING:
    from hurtle.race.launch import Got, Job


async def fetch_all(job: "Job", got: "Got", builder: ClientBuilder) -> None:
    """Fetch every URL."""
    waiting = enumerate(job.urls)
    async with builder.build() as client, asyncio.TaskGroup() as workers:

        async def work() -> None:
            for index, url in waiting:
                response = await client.get(url).build().send()
                got(index, len(await response.bytes()))

        for _ in range(job.connections):
            workers.create_task(work())


def fetch(job: "Job", got: "Got") -> None:
    """Run the event loop."""
    builder = ClientBuilder().max_connections(job.connections).error_for_status(True)
    if job.ca_path is not None:
        builder = builder.add_root_certificate_pem(Path(job.ca_path).read_bytes())
    asyncio.run(fetch_all(job, got, builder))
