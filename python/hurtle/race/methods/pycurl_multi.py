"""libcurl's multi interface: as many easy handles as connections, each reused as soon as it is done."""

from io import BytesIO
from typing import TYPE_CHECKING

import pycurl

if TYPE_CHECKING:
    from hurtle.race.launch import Got, Job


def fetch(job: "Job", got: "Got") -> None:
    """Fetch every URL."""
    multi = pycurl.CurlMulti()
    multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, job.connections)
    multi.setopt(pycurl.M_MAXCONNECTS, job.connections)
    handles = [pycurl.Curl() for _ in range(job.connections)]
    for handle in handles:
        if job.ca_path is not None:
            handle.setopt(pycurl.CAINFO, job.ca_path)
        handle.setopt(pycurl.FOLLOWLOCATION, True)
        handle.setopt(pycurl.FAILONERROR, True)
        handle.setopt(pycurl.TIMEOUT, 30)
    idle = list(handles)
    waiting = enumerate(job.urls)
    loading: dict[pycurl.Curl, tuple[int, BytesIO]] = {}

    def start() -> None:
        while idle and (item := next(waiting, None)) is not None:
            index, url = item
            handle, body = idle.pop(), BytesIO()
            handle.setopt(pycurl.URL, url)
            handle.setopt(pycurl.WRITEDATA, body)
            loading[handle] = index, body
            multi.add_handle(handle)

    start()
    while loading:
        multi.perform()
        more = True
        while more:
            more, done, failed = multi.info_read()
            for _handle, code, words in failed:
                raise RuntimeError(f"curl error {code}: {words}")
            for handle in done:
                multi.remove_handle(handle)
                index, body = loading.pop(handle)
                got(index, len(body.getvalue()))
                idle.append(handle)
        start()
        if loading:
            # No longer than libcurl would wait: during a name look-up there is no socket to wait for.
            multi.select(max(0.001, min(1.0, multi.timeout() / 1000)))
    multi.close()
