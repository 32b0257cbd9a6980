"""A `queue.Queue` of URLs, as many threads as connections, one `Session` per thread."""

import queue
import threading
from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from hurtle.race.launch import Got, Job

local = threading.local()


def session_of_this_thread(ca_path: str | None) -> requests.Session:
    """Return the session of the calling thread; the first call creates it."""
    if not hasattr(local, "session"):
        local.session = requests.Session()
        local.session.verify = ca_path or True
    session: requests.Session = local.session
    return session


def fetch(job: "Job", got: "Got") -> None:
    """Fetch every URL."""
    waiting: queue.Queue[tuple[int, str]] = queue.Queue()
    for item in enumerate(job.urls):
        waiting.put(item)

    def work() -> None:
        while True:
            try:
                index, url = waiting.get_nowait()
            except queue.Empty:
                return
            response = session_of_this_thread(job.ca_path).get(url, timeout=30)
            response.raise_for_status()
            got(index, len(response.content))

    threads = [threading.Thread(target=work) for _ in range(job.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
