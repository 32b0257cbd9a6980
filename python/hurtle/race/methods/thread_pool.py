"""`ThreadPoolExecutor.map`, as many workers as connections, one `Session` per thread."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from hurtle.race.launch import Got, Job

local = threading.local()


def fetch(job: "Job", got: "Got") -> None:
    """Fetch every URL."""

    def open_session() -> None:
        local.session = requests.Session()
        local.session.verify = job.ca_path or True

    def load(url: str) -> int:
        response = local.session.get(url, timeout=30)
        response.raise_for_status()
        return len(response.content)

    with ThreadPoolExecutor(max_workers=job.connections, initializer=open_session) as pool:
        for index, size in enumerate(pool.map(load, job.urls)):
            got(index, size)
