"""hurtle, with bodies read where they lie: `content_view` in place of `content`."""

from __future__ import annotations

from benchmarks.contestants.harness import Job, check, measure
from benchmarks.contestants.hurtle_stream import streamed


def consume(job: Job, requests: int) -> None:
    for response in streamed(job, job.urls(requests)):
        check(job, response.status, len(response.content_view))


if __name__ == "__main__":
    measure(consume)
