"""Whether a request costs the same in a list of ten thousand, a hundred thousand and a million URLs."""

from __future__ import annotations

import dataclasses
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.clients import client
from benchmarks.contestants.harness import Job
from benchmarks.measure import Spread, Terms, interleave
from benchmarks.report import Result
from benchmarks.servers import SMALL_BYTES, nginx

LISTS = (10_000, 100_000, 1_000_000)
CONCURRENCY = 64


def measure(terms: Terms) -> Result:
    """Measure each length of the list.

    A short list is streamed several times within one run, so that every run is long enough to measure.

    Raises:
        NoisyMachineError: The machine was too busy.
    """
    lists = [max(1_000, round(urls * terms.share)) for urls in LISTS]
    with tempfile.TemporaryDirectory() as folder, nginx(Path(folder)) as served:
        job = Job(
            url=served.origins["http"] + "/small",
            requests=0,
            concurrency=CONCURRENCY,
            body_bytes=SMALL_BYTES,
        )
        runs = {
            f"{urls:,}": partial(
                client("hurtle").run,
                dataclasses.replace(job, requests=urls, repeat=max(1, lists[-1] // 4 // urls)),
            )
            for urls in lists
        }
        taken = interleave(runs, terms, served.cpu_s, print)
    if taken.failed:
        raise RuntimeError(str(taken.failed))
    cpu = {name: Spread.of([one.client_cpu_us for one in samples]) for name, samples in taken.samples.items()}
    longest = cpu[f"{lists[-1]:,}"].median
    rows = [[name, spread.show(2), f"{spread.median / longest - 1:+.1%}"] for name, spread in cpu.items()]
    return Result(
        case="scaling",
        title="Cost per request by the length of the list",
        command=terms.command("scaling"),
        method=(
            f"`hurtle.stream` over that many URLs. Each call includes the start of its engine and its"
            f" {CONCURRENCY} connections. {taken.counted} rounds, {taken.thrown_away} disturbed runs"
            " repeated."
        ),
        header=["URLs", "client µs/request", "against the longest"],
        rows=rows,
        figures={
            "client_cpu_us": {name: dataclasses.asdict(spread) for name, spread in cpu.items()},
            "samples": {
                name: [dataclasses.asdict(one) for one in samples] for name, samples in taken.samples.items()
            },
        },
        quiet=not taken.noisy,
    )
