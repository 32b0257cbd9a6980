"""Interleaved runs: every contestant in turn, again and again, until each has enough quiet ones."""

from __future__ import annotations

import dataclasses
import resource
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.machine import Cores

MOST_STEAL = 0.02
"""A run during which the hypervisor took more than this share of the two cores' time is thrown away."""

MOST_BY_OTHERS = 0.05
"""The same for what other processes of this machine took."""

MOST_ROUNDS_PER_RUN = 3
"""How many rounds may be tried for one that counts, before a noisy machine is given up."""


class NoisyMachineError(Exception):
    """Too many runs were thrown away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run of one contestant."""

    requests: int
    wall_s: float
    client_cpu_s: float
    """User and system time of the client, without its start-up."""
    server_cpu_s: float
    steal: float = 0.0
    by_others: float = 0.0

    @property
    def quiet(self) -> bool:
        """Whether nobody disturbed the run."""
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
    """The middle of several figures, and how far they lie apart."""

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


def interleave(
    contestants: Mapping[str, Callable[[], Sample]],
    runs: int,
    tell: Callable[[str], None],
) -> dict[str, list[Sample]]:
    """Run every contestant `runs` times, A B C A B C, and return the samples that count.

    A whole round is thrown away when one of its runs was disturbed: the contestants stay side by side.

    Raises:
        NoisyMachineError: Fewer quiet rounds than asked for in three times as many.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in contestants}
    done = 0
    for _ in range(runs * MOST_ROUNDS_PER_RUN):
        if done == runs:
            break
        taken: dict[str, Sample] = {}
        for name, contestant in contestants.items():
            taken[name] = _watched(contestant)
            sample = taken[name]
            tell(
                f"{name:<16} {sample.rate_per_s:>9,.0f}/s  client {sample.client_cpu_us:>7.2f} µs"
                f"  server {sample.server_cpu_us:>6.2f} µs"
                f"  steal {sample.steal:.1%}  others {sample.by_others:.1%}"
            )
        if not all(sample.quiet for sample in taken.values()):
            tell("thrown away: the machine was busy with something else")
            continue
        done += 1
        for name, sample in taken.items():
            samples[name].append(sample)
    if done < runs:
        raise NoisyMachineError(f"only {done} of {runs} rounds were quiet")
    return samples


def _watched(contestant: Callable[[], Sample]) -> Sample:
    before, ended_s = Cores.now(), _ended_children_s()
    sample = contestant()
    after = Cores.now()
    # The client's whole life, start-up and warm-up included, and the server's part in it.
    ours_s = _ended_children_s() - ended_s + sample.server_cpu_s
    return dataclasses.replace(
        sample,
        steal=after.share_stolen_since(before),
        by_others=after.share_of_others_since(before, ours_s),
    )


def _ended_children_s() -> float:
    """Return the user and system time of every child process that has ended and was waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
