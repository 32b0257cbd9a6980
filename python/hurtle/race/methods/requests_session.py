"""One `requests.Session`: one after the other, the connection reused."""

from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from hurtle.race.launch import Got, Job


def fetch(job: "Job", got: "Got") -> None:
    """Fetch every URL."""
    with requests.Session() as session:
        session.verify = job.ca_path or True
        for index, url in enumerate(job.urls):
            response = session.get(url, timeout=30)
            response.raise_for_status()
            got(index, len(response.content))
