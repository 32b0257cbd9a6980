"""hurtle over many hosts; the first few do not answer in time, and it is done when the others have."""

from __future__ import annotations

import hurtle
from benchmarks.contestants.harness import LOOPBACK, Job, address, check, measure

HANGS = "/delay/30000"


def consume(job: Job, requests: int) -> None:
    hanging = {job.url.replace(LOOPBACK, address(number)) for number in range(job.options["hanging"])}
    origin = job.url.rpartition("/bytes/")[0]
    slow = {url: url.replace(job.url.removeprefix(origin), HANGS) for url in hanging}
    urls = [slow.get(url, url) for url in job.urls(requests)]
    left = sum(not url.endswith(HANGS) for url in urls)
    with hurtle.Client(concurrency=job.concurrency) as client:
        for response in client.stream(urls):
            check(job, response.status, len(response.content))
            left -= 1
            if not left:
                break


if __name__ == "__main__":
    measure(consume)
