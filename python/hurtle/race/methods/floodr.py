"""`floodr.request`: a list of requests in, a list of responses out, implemented in Rust."""

import asyncio
from typing import TYPE_CHECKING

import floodr

if TYPE_CHECKING:
    from hurtle.race.launch import Got, Job


async def fetch_all(job: "Job", got: "Got") -> None:
    """Fetch every URL."""
    client = floodr.Client(max_connections=job.connections)
    requests = [floodr.Request(url=url) for url in job.urls]
    for index, response in enumerate(await client.request(requests, max_concurrent=job.connections)):
        if response.error is not None:
            raise RuntimeError(response.error)
        response.raise_for_status()
        got(index, len(response.content))


def fetch(job: "Job", got: "Got") -> None:
    """Run the event loop."""
    if job.ca_path is not None and job.urls[0].startswith("https:"):
        job.refuse("floodr trusts only the certificate authorities that it was built with: use --http")
    asyncio.run(fetch_all(job, got))
