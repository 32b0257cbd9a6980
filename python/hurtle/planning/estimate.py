"""Seconds by the limits. Pure functions of counts and options."""

from collections.abc import Callable, Iterator, Mapping, Sequence
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

    def changed_by(self, limits: Limits) -> "Limit":
        """Return the limits of a host with limits of its own; those that it leaves open stay."""
        rate: HostRate = self.rate
        if limits.rate_limit == "auto":
            rate = "auto"
        elif limits.rate_limit is not None:
            rate = limits.rate_limit if isinstance(limits.rate_limit, Rate) else None
        return Limit(rate, self.concurrency if limits.concurrency is None else limits.concurrency)

    @property
    def rate_text(self) -> str | None:
        """The rate in the grammar of `rate_limit`."""
        return None if self.rate is None else str(self.rate)


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
        groups_of: Says which hosts share limits, and which: `_engine.groups_of`.
    """

    counts: Counts
    latency: float
    groups_of: Callable[[Options, Sequence[str]], Sequence[tuple[str, int | None]]]

    def estimate(self, options: Options) -> Estimate:
        """Return the estimates of each host and of all together. O(hosts log hosts)."""
        hosts = [self._load(*load) for load in self._loads(options)]
        hosts.sort(key=lambda load: (-load.seconds, -load.requests, load.host))
        requests = sum(load.requests for load in hosts)
        repeats = sum(load.duplicates for load in hosts)
        limit = Limit(options.rate_limit, options.concurrency)
        return Estimate(tuple(hosts), self._load("", requests, repeats, limit))

    def seconds(self, options: Options, instead: Mapping[str, Limit] | None = None) -> float:
        """Return only `Estimate.seconds`, without creating an object for each host.

        Args:
            options: The options.
            instead: Limits of single hosts that these options do not have.
        """
        longest, whole = 0.0, 0
        for host, requests, _, limit in self._loads(options):
            limit = (instead or {}).get(host, limit)
            longest = max(longest, *_known(limit.seconds(requests, self.latency)))
            whole += requests
        of_all = Limit(options.rate_limit, options.concurrency)
        return max(longest, *_known(of_all.seconds(whole, self.latency)))

    def _loads(self, options: Options) -> Iterator[tuple[str, int, int, Limit]]:
        """Yield each host, or hosts that share limits, with requests, repeats and limits."""
        of_all = Limit(options.rate_limit_per_host, options.concurrency_per_host)
        own = [of_all.changed_by(limits) for _, limits in options.hosts]
        groups = self.groups_of(options, [host for host, _, _ in self.counts])
        rows: dict[str, int] = {}
        repeats: dict[str, int] = {}
        for (group, _), (_, count, again) in zip(groups, self.counts, strict=True):
            rows[group] = rows.get(group, 0) + count
            repeats[group] = repeats.get(group, 0) + again
        for group, place in dict(groups).items():
            requests = rows[group] - repeats[group] if options.dedupe else rows[group]
            yield group, requests, repeats[group], of_all if place is None else own[place]

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
