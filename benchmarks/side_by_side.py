"""A case in which contestants fetch the same URLs from the same server: how much each runs, and the table."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.clients import Client, client
from benchmarks.contestants.harness import Job
from benchmarks.measure import Sample, Spread, Taken, Terms, interleave
from benchmarks.report import Result
from benchmarks.servers import SMALL_BYTES, Served

FEWEST_REQUESTS = 200

HEADER = ["client", "client µs/request", "÷ hurtle", "requests/s", "server µs/request", "steal", "others"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """One case."""

    name: str
    title: str
    server: Callable[[Path], AbstractContextManager[Served]]
    """Starts the server; it may use an empty folder."""
    contestants: tuple[str, ...]
    requests: int
    """Requests of one run of hurtle; more expensive contestants send fewer."""
    path: str = "/small"
    origin: str = "http"
    body_bytes: int = SMALL_BYTES
    concurrency: int = 64
    hosts: int = 1
    fewest: int = FEWEST_REQUESTS
    """The fewest requests of one run: with few per connection, a slow contestant would only connect."""
    note: str = ""
    absent: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Contestants that cannot do this at all, and why."""


def measure(race: Race, terms: Terms) -> Result:
    """Run a case.

    Raises:
        NoisyMachineError: The machine was too busy.
    """
    clients = [client(name) for name in race.contestants]
    with tempfile.TemporaryDirectory() as folder, race.server(Path(folder)) as served:
        job = Job(
            url=served.origins[race.origin] + race.path,
            requests=0,
            concurrency=race.concurrency,
            body_bytes=race.body_bytes,
            hosts=race.hosts,
            ca=served.ca if race.origin != "http" else None,
            http2=race.origin == "h2",
        )
        runs: dict[str, Callable[[], Sample]] = {
            one.name: partial(one.run, dataclasses.replace(job, requests=_requests(race, one, terms)))
            for one in clients
            if one.missing is None
        }
        taken = interleave(runs, terms, served.cpu_s, print)
    return _result(race, terms, clients, taken)


def _requests(race: Race, one: Client, terms: Terms) -> int:
    return max(race.fewest, round(race.requests * terms.share / one.cost))


def _result(race: Race, terms: Terms, clients: list[Client], taken: Taken) -> Result:
    out = {one.name: f"skipped: {one.missing}" for one in clients if one.missing}
    out |= {name: f"failed: {why}" for name, why in taken.failed.items()}
    out |= {name: f"not in this case: {why}" for name, why in race.absent.items()}
    measured = {name: samples for name, samples in taken.samples.items() if samples}
    cpu = {name: Spread.of([one.client_cpu_us for one in samples]) for name, samples in measured.items()}
    reference = cpu["hurtle"].median if "hurtle" in cpu else None
    rows = [_row(name, samples, cpu[name], reference) for name, samples in measured.items()]
    rows += [[f"{name}: {why}", *[""] * (len(HEADER) - 1)] for name, why in out.items()]
    many = f", over {race.hosts:,} hosts" if race.hosts > 1 else ""
    method = (
        f"GET of {race.body_bytes:,} bytes{many}, {race.concurrency:,} at a time; {taken.counted} rounds,"
        f" {taken.thrown_away} disturbed runs repeated. {race.note}"
    )
    return Result(
        case=race.name,
        title=race.title,
        command=terms.command(race.name),
        method=method.strip(),
        header=HEADER,
        rows=rows,
        figures={
            "client_cpu_us": {name: dataclasses.asdict(spread) for name, spread in cpu.items()},
            "delivers_bodies": {one.name: one.delivers for one in clients},
            "out": out,
            "samples": {name: [dataclasses.asdict(one) for one in made] for name, made in measured.items()},
        },
        quiet=not taken.noisy,
    )


def _row(name: str, samples: list[Sample], cpu: Spread, reference: float | None) -> list[str]:
    return [
        name,
        cpu.show(2),
        "" if reference is None else f"{cpu.median / reference:.2f}",
        Spread.of([sample.rate_per_s for sample in samples]).show(0),
        Spread.of([sample.server_cpu_us for sample in samples]).show(1),
        f"{max(sample.steal for sample in samples):.1%}",
        f"{max(sample.by_others for sample in samples):.1%}",
    ]
