"""`hurtle.stream`, as its README shows it."""

from typing import TYPE_CHECKING

from hurtle.api import stream

if TYPE_CHECKING:
    from hurtle.race.launch import Got, Job


def fetch(job: "Job", got: "Got") -> None:
    """Fetch every URL."""
    limit, trust = job.connections, job.ca_path or True
    # As many connections as the others: HTTP/2 would put all requests on one.
    responses = stream(
        job.urls, concurrency=limit, concurrency_per_host=limit, http2=False, retries=0, verify=trust
    )
    for response in responses:
        response.raise_for_status()
        got(response.index, len(response.content))
