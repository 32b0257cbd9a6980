"""`reqstorm.fetch_all_sync`: a list of URLs in, a list of results out, over aiohttp."""

import ssl
from typing import TYPE_CHECKING

import reqstorm

if TYPE_CHECKING:
    from hurtle.race.launch import Got, Job


def fetch(job: "Job", got: "Got") -> None:
    """Fetch every URL."""
    trust = ssl.create_default_context(cafile=job.ca_path)
    results = reqstorm.fetch_all_sync(job.urls, concurrency=job.connections, ssl=trust)
    for index, result in enumerate(results):
        if result.error is not None:
            raise RuntimeError(result.error)
        if result.status is None or result.status >= 400:
            raise RuntimeError(f"status {result.status}")
        got(index, len(result.body))
