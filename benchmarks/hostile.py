"""A list of which one host in twenty is hostile, beside the same list without these hosts."""

from __future__ import annotations

import dataclasses
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import trustme

from benchmarks.contestants.harness import address
from benchmarks.hostile_server import NET
from benchmarks.machine import CLIENT_CORE, SERVER_CORE, cpu_seconds_of, pin_to
from benchmarks.measure import ContestantError, Sample, Spread, Terms, interleave
from benchmarks.report import Result
from benchmarks.servers import SMALL_BYTES, test_server

HOSTS, URLS_EACH = 10_000, 10
HOSTILE_SHARE = 0.05
LATENCY_S = 0.05
TIMEOUT_S = 3.0
MOST_BODY_BYTES = 1 << 20

RUN_SECONDS_AT_MOST = 120.0
SECONDS_AT_MOST = 280.0
"""The rounds of this case are long: each waits for the last timeout."""

NAMES = (WITHOUT, WITH) = ("without them", "with them")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one run printed."""

    rows: int
    healthy_ok: int
    healthy_s: float
    """Seconds until the last healthy row."""
    healthy_cpu_s: float
    healthy_in_flight: float
    """How many healthy requests were in flight until then, on average."""
    total_s: float
    cpu_s: float
    peak_rss_bytes: int
    hostile: Mapping[str, int]
    """How the hostile rows ended, by error code or status."""

    @property
    def tail_s(self) -> float:
        """Seconds from the last healthy row to the end."""
        return self.total_s - self.healthy_s


def measure(terms: Terms) -> Result:
    """Fetch both lists in turn, and compare what the healthy hosts' rows got.

    Raises:
        NoisyMachineError: The machine was too busy.
        RuntimeError: A row is missing.
    """
    hosts = max(100, round(HOSTS * terms.share))
    runs: dict[str, list[Seen]] = {name: [] for name in NAMES}
    with (
        tempfile.TemporaryDirectory() as name,
        test_server("--all-loopback", "--latency", str(LATENCY_S)) as healthy,
        _hostile(Path(name), round(hosts * HOSTILE_SHARE)) as (origins, hostile_pid),
    ):
        folder, port = Path(name), healthy.origins["http"].rpartition(":")[2]
        lists = _lists([one for each in origins.values() for one in each], hosts, port)
        for which, urls in lists.items():
            (folder / which).write_text("\n".join(urls), encoding="ascii")
        taken = interleave(
            {which: partial(_run, folder, which, len(lists[which]), port, runs[which]) for which in NAMES},
            dataclasses.replace(terms, seconds_at_most=max(terms.seconds_at_most, SECONDS_AT_MOST)),
            lambda: healthy.cpu_s() + cpu_seconds_of(hostile_pid),
            print,
        )
    if taken.failed:
        raise RuntimeError(str(taken.failed))
    rate = {which: Spread.of([one.rate_per_s for one in taken.samples[which]]) for which in NAMES}
    cpu = {which: Spread.of([one.client_cpu_us for one in taken.samples[which]]) for which in NAMES}
    tail = {which: Spread.of([one.tail_s for one in runs[which]]) for which in NAMES}
    used = {which: Spread.of([one.healthy_in_flight for one in runs[which]]) for which in NAMES}
    peak = {which: Spread.of([one.peak_rss_bytes / 1e6 for one in runs[which]]) for which in NAMES}
    return Result(
        case="hostile",
        title="One server in twenty is hostile",
        command=terms.command("hostile"),
        method=(
            f"{hosts * URLS_EACH:,} URLs, {URLS_EACH} to each host, in random order, 256 at a time, 10 to one"
            f" host, timeout={TIMEOUT_S:g}, max_body_size=1 MB. The healthy hosts are `hurtle serve"
            f" --all-loopback --latency {LATENCY_S:g}`; 5 % are of {len(origins)} hostile kinds"
            f" ({', '.join(origins)}). Every row is present. Rates and processor time are up to the last"
            f" healthy row. {taken.counted} rounds, {taken.thrown_away} disturbed runs repeated."
        ),
        header=["", "healthy rows/s", "of them in flight", "client µs/row", "seconds after the last", "MB"],
        rows=[
            [
                which,
                rate[which].show(0),
                used[which].show(0),
                cpu[which].show(1),
                tail[which].show(1),
                peak[which].show(0),
            ]
            for which in NAMES
        ],
        figures={
            "healthy_share": rate[WITH].median / rate[WITHOUT].median,
            "in_flight_share": used[WITH].median / used[WITHOUT].median,
            "rss_share": peak[WITH].median / peak[WITHOUT].median,
            "runs": {which: [dataclasses.asdict(one) for one in seen] for which, seen in runs.items()},
        },
        quiet=not taken.noisy,
    )


def _lists(hostile: Sequence[str], hosts: int, port: str) -> dict[str, list[str]]:
    healthy = (
        f"http://{address(number)}:{port}/bytes/{SMALL_BYTES}" for number in range(hosts - len(hostile))
    )
    urls = [url for url in healthy for _ in range(URLS_EACH)]
    urls += [f"{origin}/{number}" for origin in hostile for number in range(URLS_EACH)]
    random.Random(1).shuffle(urls)
    return {WITH: urls, WITHOUT: [url for url in urls if f":{port}/bytes/" in url]}


@contextmanager
def _hostile(folder: Path, hosts: int) -> Iterator[tuple[dict[str, list[str]], int]]:
    """Run the hostile servers on the servers' core; yield their origins by kind, and their process."""
    authority = trustme.CA()
    names = [f"127.{NET}.{kind}.{number}" for kind in range(6) for number in range(1, 251)]
    authority.issue_cert(*names).private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    pin_to(SERVER_CORE)
    command = [sys.executable, "-m", "benchmarks.hostile_server", str(hosts), str(folder / "server.pem")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        pin_to(CLIENT_CORE)
        assert process.stdout is not None
        yield json.loads(process.stdout.readline()), process.pid
        process.terminate()


def _run(folder: Path, which: str, rows: int, port: str, seen: list[Seen]) -> Sample:
    options = {"verify": str(folder / "ca.pem"), "timeout": TIMEOUT_S, "max_body_size": MOST_BODY_BYTES}
    job = json.dumps({"urls": str(folder / which), "healthy": port, "options": options})
    command = [sys.executable, "-m", "benchmarks.contestants.hurtle_hostile", job]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, timeout=RUN_SECONDS_AT_MOST
        )
    except subprocess.SubprocessError as error:
        raise ContestantError(str(error)) from error
    one = Seen(**json.loads(done.stdout))
    if one.rows != rows:
        raise ContestantError(f"{one.rows} rows of {rows}")
    seen.append(one)
    tail = f"{one.tail_s:.1f} s after the last healthy row, {one.peak_rss_bytes / 1e6:.0f} MB"
    print(f"{which:<16} {one.healthy_ok:>9,} healthy rows ok, {tail}; {dict(one.hostile)}")
    return Sample(requests=one.healthy_ok, wall_s=one.healthy_s, client_cpu_s=one.healthy_cpu_s)
