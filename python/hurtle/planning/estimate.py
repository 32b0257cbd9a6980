"""Seconds by the limits. Pure functions of counts and options."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal, TypeAlias

from hurtle.limits import Concurrency, Limits
from hurtle.options import Options
from hurtle.rates import Rate
from hurtle.report.plan import HostPlan

HostRate: TypeAlias = Rate | Literal["auto"] | None
"""A limit over time: a rate; "auto", found while sending; None for no limit."""

Counts: TypeAlias = Sequence[tuple[str, int, int]]
"""Each host with its number of rows, and how many of them repeat an earlier one."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The complete limits of a host."""

    rate: HostRate
    concurrency: Concurrency

    def seconds(self, requests: int, latency: float) -> tuple[float | None, float | None]:
        """Return the least time by the rate, and by the limit in flight; None if "auto" will find it."""
        return rate_seconds(requests, self.rate), concurrency_seconds(requests, self.concurrency, latency)

    @property
    def rate_text(self) -> str | None:
        """The rate in the grammar of `rate_limit`."""
        return None if self.rate is None else str(self.rate)


class LimitTable:
    """The limits of every host: the general ones, and those of single hosts.

    Args:
        options: Reads `hosts`, `rate_limit_per_host` and `concurrency_per_host`.
        normal: Writes a host name as the engine does.
    """

    def __init__(self, options: Options, normal: Callable[[str], str]) -> None:
        self._of_all = Limit(options.rate_limit_per_host, options.concurrency_per_host)
        self._exact: dict[str, Limit] = {}
        below: dict[str, Limit] = {}
        for name, limits in options.hosts:
            if name.startswith("*."):
                below["." + normal(name[2:])] = self._own(limits)
            else:
                self._exact[normal(name)] = self._own(limits)
        self._below = sorted(below.items(), key=lambda item: -len(item[0]))

    def _own(self, limits: Limits) -> Limit:
        """Return a host's own limits; those that it leaves open are the general ones."""
        rate: HostRate = self._of_all.rate
        if limits.rate_limit == "auto":
            rate = "auto"
        elif limits.rate_limit is not None:
            rate = limits.rate_limit if isinstance(limits.rate_limit, Rate) else None
        return Limit(rate, self._of_all.concurrency if limits.concurrency is None else limits.concurrency)

    def of(self, host: str) -> Limit:
        """Return the limits of a host, by the closest name. O(1), except for names with a star."""
        own = self._exact.get(host)
        if own is None and self._below:
            own = next((limit for suffix, limit in self._below if host.endswith(suffix)), None)
        return own or self._of_all


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimates of each host, the longest first, and of all together."""

    hosts: tuple[HostPlan, ...]
    whole: HostPlan

    @property
    def seconds(self) -> float:
        """The least time that the list takes."""
        return max(self.whole.seconds, self.hosts[0].seconds if self.hosts else 0.0)


@dataclass(frozen=True, slots=True)
class Estimator:
    """Estimates one list under any options.

    Attributes:
        counts: The list.
        latency: Seconds from a request to the end of its answer.
        normal: Writes a host name as the engine does.
    """

    counts: Counts
    latency: float
    normal: Callable[[str], str]

    def estimate(self, options: Options) -> Estimate:
        """Return the estimates of each host and of all together. O(hosts log hosts)."""
        table = LimitTable(options, self.normal)
        hosts = [
            self._load(host, rows - repeats if options.dedupe else rows, repeats, table.of(host))
            for host, rows, repeats in self.counts
        ]
        hosts.sort(key=lambda load: (-load.seconds, -load.requests, load.host))
        requests = sum(load.requests for load in hosts)
        repeats = sum(load.duplicates for load in hosts)
        limit = Limit(options.rate_limit, options.concurrency)
        return Estimate(tuple(hosts), self._load("", requests, repeats, limit))

    def seconds(self, options: Options) -> float:
        """Return only `Estimate.seconds`, without creating an object for each host."""
        table = LimitTable(options, self.normal)
        longest, whole = 0.0, 0
        for host, rows, repeats in self.counts:
            requests = rows - repeats if options.dedupe else rows
            longest = max(longest, *_known(table.of(host).seconds(requests, self.latency)))
            whole += requests
        of_all = Limit(options.rate_limit, options.concurrency)
        return max(longest, *_known(of_all.seconds(whole, self.latency)))

    def _load(self, host: str, requests: int, duplicates: int, limit: Limit) -> HostPlan:
        times = limit.seconds(requests, self.latency)
        return HostPlan(
            host=host,
            requests=requests,
            duplicates=duplicates,
            rate_limit=limit.rate_text,
            concurrency=limit.concurrency,
            rate_s=times[0],
            concurrency_s=times[1],
            seconds=max(_known(times)),
        )


def _known(times: tuple[float | None, float | None]) -> tuple[float, float]:
    return times[0] or 0.0, times[1] or 0.0


def rate_seconds(requests: int, rate: HostRate) -> float | None:
    """Return the seconds from the first to the last request at a rate; None for "auto"."""
    if rate == "auto":
        return None
    if rate is None:
        return 0.0
    return max(0, requests - rate.burst) * rate.per / rate.count


def concurrency_seconds(requests: int, concurrency: Concurrency, latency: float) -> float | None:
    """Return the seconds until the last answer, with this many requests at a time; None for "auto"."""
    if concurrency == "auto":
        return None
    return ceil(requests / concurrency) * latency
