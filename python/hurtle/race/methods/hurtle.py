"""`hurtle.stream`, as its README shows it."""

from typing import TYPE_CHECKING

from hurtle.api import stream

if TYPE_CHECKING:
    from hurtle.race.launch import Got, Job


def fetch(job: "Job", got: "Got") -> None:
    """Fetch every URL."""
    trust = job.ca_path or True
    for response in stream(job.urls, concurrency_per_host=job.connections, verify=trust):
        response.raise_for_status()
        got(response.index, len(response.content))
