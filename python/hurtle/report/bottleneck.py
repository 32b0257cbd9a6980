"""What limits a job's speed, in one sentence with the option to change. Pure functions."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hurtle.limits import is_shared
from hurtle.options import Options
from hurtle.rates import Rate, rate_text
from hurtle.report.text import seconds_text

if TYPE_CHECKING:
    from hurtle._engine import Progress

LEAST_LOOKS = 5
"""Fewer looks than this, at 20 a second, say nothing: the job is too short to tell."""

LATELY_S = 3.0
"""How many seconds the live line looks back."""

DOMINANT = 0.5
"""From this share of the time in flight on, a phase is worth naming next to a limit."""

USED_UP = 0.8
"""From this share on, a rate counts as used up."""

THROTTLED_BY = "throttled by "
"""How the sentence begins if a host refuses requests: more exact than "limited by"."""

_IN_FLIGHT = {
    "DNS": ("dns",),
    "connecting": ("connect", "tls"),
    "the servers' first byte": ("first_byte",),
    "the bodies": ("body",),
}
"""What a request in flight waits for, and the phases of the engine that belong to it."""


@dataclass(frozen=True, slots=True)
class Throttling:
    """A host that refuses requests because it gets too many.

    Attributes:
        host: Its name.
        status: What it refused with, the last time.
        refusals: How many requests it refused.
        wait_s: Seconds of the last wait that it asked for; None if it asked for none.
        rate_per_s: Requests per second that it accepts, as far as is known.
    """

    host: str
    status: int
    refusals: int
    wait_s: float | None = None
    rate_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What a job's counters say about waiting, during the whole run or a part of it.

    Attributes:
        looks: How often each bottleneck was seen, by the engine's name.
        phases: Seconds that requests spent in each phase of their last attempts, by the engine's name.
        done: Rows that have arrived.
        attempts: Requests sent for these rows.
        seconds: How long it took.
        first_byte_s: Median seconds to the first byte over the whole run; None without a response.
        throttled_by: The host that has refused the most requests since the start; None if none has.
    """

    looks: Mapping[str, int]
    phases: Mapping[str, float] = field(default_factory=dict)
    done: int = 0
    attempts: int = 0
    seconds: float = 0.0
    first_byte_s: float | None = None
    throttled_by: Throttling | None = None

    @classmethod
    def of(cls, counters: "Progress", seconds: float) -> "Waits":
        """Return the waits of a job from its start, `seconds` ago, to these counters."""
        return cls(
            looks=counters.limited_by,
            phases=counters.phases,
            done=counters.done,
            attempts=counters.attempts,
            seconds=seconds,
            first_byte_s=counters.first_byte.get("p50"),
            throttled_by=None if counters.throttled_by is None else Throttling(*counters.throttled_by),
        )

    def since(self, earlier: "Waits") -> "Waits":
        """Return the waits between an earlier moment and this one."""
        return Waits(
            looks={name: count - earlier.looks.get(name, 0) for name, count in self.looks.items()},
            phases={name: spent - earlier.phases.get(name, 0.0) for name, spent in self.phases.items()},
            done=self.done - earlier.done,
            attempts=self.attempts - earlier.attempts,
            seconds=self.seconds - earlier.seconds,
            first_byte_s=self.first_byte_s,
            throttled_by=self.throttled_by,
        )

    def in_flight(self) -> tuple[str, float] | None:
        """Return what requests in flight waited for the longest, and its share; None if unknown."""
        spent = {
            name: sum(self.phases.get(phase, 0.0) for phase in phases) for name, phases in _IN_FLIGHT.items()
        }
        longest = max(spent, key=spent.__getitem__)
        whole = sum(spent.values())
        return (longest, spent[longest] / whole) if whole > 0 else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What limited a job's speed: the text after the words "limited by", unless the cause says it itself.

    Attributes:
        cause: A few words, with the option's name and value if there is one.
        detail: What else is known about it.
        advice: What to change, or what it means.
    """

    cause: str
    detail: str | None = None
    advice: str | None = None

    @property
    def headline(self) -> str:
        """The cause as part of a line."""
        return self.cause if self.cause.startswith(THROTTLED_BY) else f"limited by {self.cause}"

    def __str__(self) -> str:
        """Return the sentence."""
        detail = f" ({self.detail})" if self.detail else ""
        return self.cause + detail + (f": {self.advice}" if self.advice else "")


class Lately:
    """What limited a job during the last seconds. Takes the time from the counters."""

    def __init__(self) -> None:
        self._samples: deque[Waits] = deque([Waits(looks={})])

    def add(self, waits: Waits) -> Waits:
        """Add the counters of this moment and return what they say about the last LATELY_S."""
        samples = self._samples
        samples.append(waits)
        while len(samples) > 2 and samples[1].seconds <= waits.seconds - LATELY_S:
            samples.popleft()
        return waits.since(samples[0])


def verdict(waits: Waits, options: Options) -> Verdict | None:
    """Return what limited a job for most of the time; None if it was too short to tell.

    Args:
        waits: What its counters say.
        options: The options in force.
    """
    if sum(waits.looks.values()) < LEAST_LOOKS:
        return None
    known = {name: waits.looks.get(name, 0) for name in CAUSES}
    return CAUSES[max(known, key=known.__getitem__)](waits, options)


def _consumer(_waits: Waits, _options: Options) -> Verdict:
    return Verdict("the consumer", advice="your code, or the output, is slower than the engine")


def _descriptors(_waits: Waits, _options: Options) -> Verdict:
    return Verdict("file descriptors", advice="raise the limit (ulimit -n)")


def _cpu(_waits: Waits, options: Options) -> Verdict:
    threads = f"threads={options.threads} are busy" if options.threads else "the engine's threads are busy"
    return Verdict("this machine's CPU", advice=threads)


def _concurrency(waits: Waits, options: Options) -> Verdict:
    cause = f"concurrency={options.concurrency}"
    if options.concurrency == "auto":
        return Verdict(cause, _slowest_part(waits), "the most that auto has found so far")
    return Verdict(cause, _slowest_part(waits), "raise concurrency")


def _per_host(waits: Waits, options: Options) -> Verdict:
    own = {limits.concurrency for _, limits in options.hosts if limits.concurrency is not None}
    cause = f"concurrency_per_host={options.concurrency_per_host}"
    if own:
        return Verdict(f"{cause}, or hosts", _slowest_part(waits), "raise it for hosts that can take more")
    if options.concurrency_per_host == "auto":
        return Verdict(cause, _slowest_part(waits), "the most that auto has found for each host so far")
    return Verdict(cause, _slowest_part(waits), "raise concurrency_per_host")


def _throttled(waits: Waits, options: Options) -> Verdict:
    """Name the host and the rate that it would have accepted."""
    by = waits.throttled_by
    if by is None:
        # No host refused anything: they say in each answer how much is left.
        return Verdict("the hosts' own quotas", "RateLimit headers", "nothing is sent until a quota is back")
    wait = "" if by.wait_s is None else f", wait {seconds_text(by.wait_s)}"
    cause = f"{THROTTLED_BY}{by.host} ({by.status}{wait})"
    limit = _limit_of(by.host, options)
    if by.wait_s is not None and by.wait_s > options.retry_max_retry_after:
        longest = seconds_text(options.retry_max_retry_after)
        return Verdict(cause, advice=f"longer than max_retry_after={longest}; try again after that time")
    if by.rate_per_s is None:
        return Verdict(cause, advice=None if limit == "auto" else 'rate_limit_per_host="auto" finds its rate')
    rate = rate_text(by.rate_per_s)
    accepts = f"it accepts about {rate}"
    if limit == "auto":
        return Verdict(cause, advice=accepts)
    shared = ', "shared": True' * is_shared(by.host)
    own = f'hosts={{"{by.host}": {{"rate_limit": "{rate}"{shared}}}}}'
    of_all = f'rate_limit_per_host="{rate}" (--rate-limit-per-host {rate})'
    option = own if limit or shared else of_all
    return Verdict(cause, advice=f"{accepts}; {option} avoids the refusals")


def _limit_of(host: str, options: Options) -> object:
    """Return the rate that `hosts` sets for a host or group, or "auto" if all hosts have it, or None."""
    names = [
        host,
        *(f"*.{host.split('.', n)[n]}" for n in range(options.limit_by != "domain", host.count(".") + 1)),
    ]
    own = dict(options.hosts)
    limits = next((own[name] for name in names if name in own), None)
    if limits is not None and limits.rate_limit is not None:
        return limits.rate_limit
    return "auto" if options.rate_limit_per_host == "auto" else None


def _rate_limit(waits: Waits, options: Options) -> Verdict:
    """Name every rate that may be the cause, and the hosts' own wishes if they may be."""
    of_all, per_host = options.rate_limit, options.rate_limit_per_host
    causes = [f"rate_limit={of_all}"] if of_all else []
    if not (isinstance(of_all, Rate) and _is_used_up(of_all, waits)):
        causes += [f"rate_limit_per_host={per_host}"] if per_host else []
        causes += _rates_of_hosts(options)
        causes += ["Retry-After"] if waits.attempts > waits.done else []
        causes += ["Crawl-delay"] if options.robots else []
    return Verdict(" or ".join(causes or ["Retry-After"]))


def _rates_of_hosts(options: Options) -> list[str]:
    own = {name: limits.rate_limit for name, limits in options.hosts}
    rates = {name: rate for name, rate in own.items() if rate not in (None, "none")}
    if len(rates) > 1:
        return ["the rates of hosts"]
    return [f"rate_limit={rate} of {name}" for name, rate in rates.items()]


def _is_used_up(rate: Rate, waits: Waits) -> bool:
    return waits.seconds > 0 and waits.attempts / waits.seconds >= USED_UP * rate.per_s


def _hosts_down(_waits: Waits, options: Options) -> Verdict:
    return Verdict(
        "hosts that are down",
        advice=f"set retries.rounds below {options.retry_rounds} to give them up sooner",
    )


def _input(_waits: Waits, _options: Options) -> Verdict:
    return Verdict("the input", advice="it supplies fewer URLs than could be sent")


def _in_flight(waits: Waits, _options: Options) -> Verdict:
    found = waits.in_flight()
    if found is None:
        return Verdict("what is in flight")
    part, share = found
    return Verdict(part, f"{share:.0%} of the time in flight")


def _slowest_part(waits: Waits) -> str | None:
    """Return what makes requests keep their slots for long; if it were faster, the limit would suffice."""
    found = waits.in_flight()
    if found is not None and found[0] in ("DNS", "connecting") and found[1] > DOMINANT:
        return f"{found[0]} is {found[1]:.0%} of the time in flight"
    if waits.first_byte_s is not None:
        return f"the servers took {seconds_text(waits.first_byte_s)}"
    return None


CAUSES: Mapping[str, Callable[[Waits, Options], Verdict]] = {
    "consumer": _consumer,
    "descriptors": _descriptors,
    "cpu": _cpu,
    "concurrency": _concurrency,
    "throttled": _throttled,
    "rate_limit": _rate_limit,
    "hosts_down": _hosts_down,
    "concurrency_per_host": _per_host,
    "input": _input,
    "in_flight": _in_flight,
}
"""What to say for each of the engine's names, in the engine's order: the first of a tie wins."""
