"""hurtle, throwing rows away as they arrive or writing them; the option "run" says which."""

from __future__ import annotations

import json
import sys
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import hurtle
from benchmarks.contestants.harness import Job, WrongAnswerError, measure

OUTPUTS = {"parquet": "parquet/", "jsonl": "jsonl/", "sqlite": ".sqlite"}
"""What an output is called, by its format: folders of parts, and a file."""


class Consumer:
    """Fetches URLs that are all different, created before the clock runs.

    Args:
        job: Its options are "pages", how many pages the server has at the URL, and "run": the options of the
            output, or None.
        folder: Where outputs go, each under a different name.
    """

    def __init__(self, job: Job, folder: Path) -> None:
        pages = job.options["pages"]
        self._urls = [f"{job.url}/{number % pages}?n={number}" for number in range(job.requests)]
        self._options: dict[str, Any] | None = job.options["run"]
        self._folder = folder
        self._names = count()

    def __call__(self, job: Job, requests: int) -> None:
        """Fetch the first of the URLs.

        Raises:
            WrongAnswerError: A response is not ok.
        """
        urls = self._urls[:requests]
        if self._options is None:
            # The cheapest way to get every result: read nothing but whether it is ok.
            responses = hurtle.stream(urls, concurrency=job.concurrency, concurrency_per_host=job.per_host)
            ok = sum(response.ok for response in responses)
        else:
            out = f"{self._folder}/{next(self._names)}{OUTPUTS[self._options['format']]}"
            ok = hurtle.run(
                urls,
                out=out,
                **self._options,
                concurrency=job.concurrency,
                concurrency_per_host=job.per_host,
            ).ok
        if ok != requests:
            raise WrongAnswerError(f"{ok} of {requests} responses are ok")


def main() -> None:
    """Measure, and delete the outputs after the clock has stopped."""
    with tempfile.TemporaryDirectory() as folder:
        measure(Consumer(Job(**json.loads(sys.argv[1])), Path(folder)))


if __name__ == "__main__":
    main()
