"""hurtle with a list of URLs instead of an iterator: the engine takes rows of a list in bulk."""

from __future__ import annotations

from benchmarks.contestants.harness import Job, check, measure
from benchmarks.contestants.hurtle_stream import streamed


def consume(job: Job, requests: int) -> None:
    for response in streamed(job, list(job.urls(requests))):
        check(job, response.status, len(response.content))


if __name__ == "__main__":
    measure(consume)
