"""hurtle with two threads in its engine, whatever the number of cores."""

from __future__ import annotations

import dataclasses

from benchmarks.contestants.harness import Job, check, measure
from benchmarks.contestants.hurtle_stream import streamed


def consume(job: Job, requests: int) -> None:
    two = dataclasses.replace(job, options={**job.options, "threads": 2})
    for response in streamed(two, job.urls(requests)):
        check(job, response.status, len(response.content))


if __name__ == "__main__":
    measure(consume)
