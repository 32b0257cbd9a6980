"""Interleaved runs: every contestant in turn, again and again, until each has enough quiet runs."""

from __future__ import annotations

import dataclasses
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.machine import Cores

MOST_STEAL = 0.02
"""If the hypervisor took more than this share of the two cores' time, the run is discarded."""

MOST_BY_OTHERS = 0.05
"""The same limit for other processes of this machine."""

TRIES = 3
"""How often to try a run within its round before giving up the round."""

FEWEST_ROUNDS = 3
"""Fewer quiet rounds than this do not make a result."""


class NoisyMachineError(Exception):
    """Too many rounds were discarded."""


class ContestantError(Exception):
    """A contestant crashed, hung or got a wrong answer. It leaves the case; the others continue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How much to measure."""

    runs: int = 5
    """Rounds that must count."""
    seconds_at_most: float = 110.0
    """No further round starts after this many seconds."""
    share: float = 1.0
    """Share of the usual number of requests."""
    accept_noise: bool = False
    """Count rounds on a busy machine too; the result then says so."""

    def command(self, case: str) -> str:
        """Return the command that measures a case on these terms again."""
        flags = [f"--runs {self.runs}"]
        if self.share != 1.0:
            flags.append(f"--share {self.share:g}")
        if self.accept_noise:
            flags.append("--accept-noise")
        return f"python -m benchmarks {case} {' '.join(flags)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run of one contestant."""

    requests: int
    wall_s: float
    client_cpu_s: float
    """User and system time of the client, without its start-up."""
    warm_up: int = 0
    """Requests sent before the measurement; they do not count."""
    server_cpu_s: float = 0.0
    """The server's share for the requests that count."""
    steal: float = 0.0
    by_others: float = 0.0

    @property
    def quiet(self) -> bool:
        """Whether nothing disturbed the run."""
        return self.steal <= MOST_STEAL and self.by_others <= MOST_BY_OTHERS

    @property
    def rate_per_s(self) -> float:
        """Requests per second of wall time."""
        return self.requests / self.wall_s

    @property
    def client_cpu_us(self) -> float:
        """Microseconds of the client's processor time for each request."""
        return self.client_cpu_s / self.requests * 1e6

    @property
    def server_cpu_us(self) -> float:
        """Microseconds of the server's processor time for each request."""
        return self.server_cpu_s / self.requests * 1e6


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several figures, and their range."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: list[float]) -> Spread:
        """Summarise at least one figure."""
        return cls(statistics.median(figures), min(figures), max(figures))

    def show(self, decimals: int) -> str:
        """Return `median (low-high)`."""
        return f"{self.median:,.{decimals}f} ({self.low:,.{decimals}f}-{self.high:,.{decimals}f})"


@dataclass(slots=True)
class Taken:
    """What the rounds produced."""

    samples: dict[str, list[Sample]]
    failed: dict[str, str] = field(default_factory=dict)
    """Why a contestant is out, by its name."""
    counted: int = 0
    """Rounds that count."""
    thrown_away: int = 0
    """Runs that were disturbed and discarded."""
    noisy: int = 0
    """Rounds that count although the machine was busy, because the caller accepted that."""


def interleave(
    contestants: Mapping[str, Callable[[], Sample]],
    terms: Terms,
    server_cpu: Callable[[], float],
    tell: Callable[[str], None],
) -> Taken:
    """Run every contestant, A B C A B C, until each has enough runs that count.

    A disturbed run is discarded and repeated at once. If that does not help, the whole round is discarded, so
    that the contestants stay side by side.

    Args:
        contestants: What to run, by name.
        terms: How much to measure.
        server_cpu: Returns the processor time that the server has used so far, in seconds.
        tell: Takes a line for each run.

    Raises:
        NoisyMachineError: There were too few quiet rounds in the given time.
    """
    taken = Taken({name: [] for name in contestants})
    end = time.monotonic() + terms.seconds_at_most
    while taken.counted < terms.runs and time.monotonic() < end:
        one = _round(contestants, terms, taken, server_cpu, tell)
        if one is None:
            continue
        taken.counted += 1
        taken.noisy += not all(sample.quiet for sample in one.values())
        for name, sample in one.items():
            taken.samples[name].append(sample)
    needed = min(terms.runs, FEWEST_ROUNDS)
    if taken.counted < needed:
        raise NoisyMachineError(
            f"only {taken.counted} quiet rounds in {terms.seconds_at_most:.0f} seconds, {needed} are needed;"
            f" {taken.thrown_away} runs were disturbed"
        )
    return taken


def _round(
    contestants: Mapping[str, Callable[[], Sample]],
    terms: Terms,
    taken: Taken,
    server_cpu: Callable[[], float],
    tell: Callable[[str], None],
) -> dict[str, Sample] | None:
    """Run each contestant once; return None if one of them found no quiet moment."""
    one: dict[str, Sample] = {}
    for name, contestant in contestants.items():
        tries = 0
        while name not in one and name not in taken.failed:
            if tries == TRIES:
                tell("round thrown away")
                return None
            tries += 1
            try:
                sample = _watched(contestant, server_cpu)
            except ContestantError as error:
                taken.failed[name] = str(error)
                taken.samples[name].clear()
                tell(f"{name:<16} failed: {error}")
                break
            counts = sample.quiet or terms.accept_noise
            tell(_line(name, sample) + ("" if counts else "  thrown away"))
            if counts:
                one[name] = sample
            else:
                taken.thrown_away += 1
    return one


def _line(name: str, sample: Sample) -> str:
    return (
        f"{name:<16} {sample.rate_per_s:>9,.0f}/s  client {sample.client_cpu_us:>7.2f} µs"
        f"  server {sample.server_cpu_us:>6.2f} µs"
        f"  steal {sample.steal:.1%}  others {sample.by_others:.1%}"
    )


def _watched(contestant: Callable[[], Sample], server_cpu: Callable[[], float]) -> Sample:
    before, ended_s, server_s = Cores.now(), _ended_children_s(), server_cpu()
    sample = contestant()
    after = Cores.now()
    server_s = server_cpu() - server_s
    # Our own time: the client's whole life, including start-up and warm-up, and the server's part in it.
    ours_s = _ended_children_s() - ended_s + server_s
    return dataclasses.replace(
        sample,
        server_cpu_s=server_s * sample.requests / (sample.requests + sample.warm_up),
        steal=after.share_stolen_since(before),
        by_others=after.share_of_others_since(before, ours_s),
    )


def _ended_children_s() -> float:
    """Return the user and system time of every child process that has ended and was waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
