"""hurtle over many responses; samples its memory ten times and writes it to stderr as JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import hurtle
from benchmarks.contestants.harness import Job, check

LOOKS = 10


def main() -> None:
    job = Job(**json.loads(sys.argv[1]))
    seen: list[int] = []
    step = job.requests // LOOKS
    responses = hurtle.stream(
        job.urls(step * LOOKS), concurrency=job.concurrency, concurrency_per_host=job.concurrency
    )
    for count, response in enumerate(responses, start=1):
        check(job, response.status, len(response.content))
        if count % step == 0:
            seen.append(_rss_bytes())
    print(json.dumps(seen), file=sys.stderr)


def _rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
