"""Interleaved runs: every contestant in turn, again and again, until each has enough quiet ones."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.machine import Ticks

MOST_STEAL = 0.02
"""A run during which the hypervisor took more than this share of the cores' time is thrown away."""

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
                f"  server {sample.server_cpu_us:>6.2f} µs  steal {sample.steal:.1%}"
            )
        if max(sample.steal for sample in taken.values()) > MOST_STEAL:
            tell("thrown away: another guest of this machine was busy")
            continue
        done += 1
        for name, sample in taken.items():
            samples[name].append(sample)
    if done < runs:
        raise NoisyMachineError(f"only {done} of {runs} rounds had at most {MOST_STEAL:.0%} steal")
    return samples


def _watched(contestant: Callable[[], Sample]) -> Sample:
    before = Ticks.now()
    sample = contestant()
    steal = Ticks.now().steal_since(before)
    return Sample(
        requests=sample.requests,
        wall_s=sample.wall_s,
        client_cpu_s=sample.client_cpu_s,
        server_cpu_s=sample.server_cpu_s,
        steal=steal,
    )
