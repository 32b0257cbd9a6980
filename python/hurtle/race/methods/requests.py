"""`requests.get` in a loop: one after the other, a new connection each time."""

from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from hurtle.race.launch import Got, Job


def fetch(job: "Job", got: "Got") -> None:
    """Fetch every URL."""
    for index, url in enumerate(job.urls):
        response = requests.get(url, verify=job.ca_path or True, timeout=30)
        response.raise_for_status()
        got(index, len(response.content))
