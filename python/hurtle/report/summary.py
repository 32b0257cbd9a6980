"""The numbers of a run."""

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from hurtle.options import Options
from hurtle.report.bottleneck import Throttling, Waits, verdict

if TYPE_CHECKING:
    from hurtle._engine import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The numbers of a run. Times are seconds, sizes bytes.

    Attributes:
        requests: Rows of the result, one for each of the input.
        ok: Responses that arrived whole with a status below 400.
        failed: All others.
        statuses: How many requests ended with each status.
        errors: How many requests ended with each error code.
        attempts: Requests sent, retries included.
        skipped: Blank lines and comments of the input.
        connections: Connections opened.
        bytes_wire: Bytes of bodies as received.
        bytes_body: Bytes of bodies after decoding.
        seconds: From the start to the last row.
        first_byte: Seconds to the first byte, by name: p50, p95, p99, max. Empty without a response.
        total: Seconds of the last attempt, by the same names.
        copied: Rows that got the answer to another row's request, with `dedupe`.
        resumed: Rows that an earlier run had committed to the same output; not among `requests`.
        resumed_failed: How many of those failed; not among `failed`.
        throttled: Requests that their host refused because it gets too many, whatever their outcome.
        throttled_for: How many seconds they waited in all, each from its first refusal to its last attempt.
        throttled_by: The host that refused the most requests, with the rate it accepts; None if none did.
        limited_by: What limited the run's speed, with the option to change: the text after the words
            "limited by", unless it begins with "throttled by". None if the run was too short to tell.
        bottlenecks: How often the engine's threads, which look 20 times a second, saw each cause:
            consumer, descriptors, cpu, concurrency, throttled, rate_limit, hosts_down, concurrency_per_host,
            input, in_flight.
        phases: Seconds spent in each phase of the last attempts, summed over all requests: queue, dns,
            connect, tls, first_byte, body.
    """

    requests: int
    ok: int
    failed: int
    statuses: dict[int, int]
    errors: dict[str, int]
    attempts: int
    skipped: int
    connections: int
    bytes_wire: int
    bytes_body: int
    seconds: float
    first_byte: dict[str, float]
    total: dict[str, float]
    copied: int = 0
    resumed: int = 0
    resumed_failed: int = 0
    throttled: int = 0
    throttled_for: float = 0.0
    throttled_by: Throttling | None = None
    limited_by: str | None = None
    bottlenecks: dict[str, int] = field(default_factory=dict)
    phases: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_counters(
        cls,
        counters: "Progress",
        options: Options,
        *,
        seconds: float,
        skipped: int = 0,
        copied: int = 0,
        resumed: int = 0,
        resumed_failed: int = 0,
    ) -> "Summary":
        """Return the summary of a job that has ended.

        Args:
            counters: The job's last counters.
            options: The options in force.
            seconds: How long it took.
            skipped: Blank lines and comments of its input.
            copied: Rows that got the answer to another row's request.
            resumed: Rows that an earlier run had committed.
            resumed_failed: How many of those failed.
        """
        waits = Waits.of(counters, seconds)
        found = verdict(waits, options)
        return cls(
            requests=counters.done,
            ok=counters.ok,
            failed=counters.failed,
            statuses=dict(sorted(counters.statuses.items())),
            errors=dict(sorted(counters.errors.items(), key=lambda item: (-item[1], item[0]))),
            attempts=counters.attempts,
            skipped=skipped,
            connections=counters.conns_opened,
            bytes_wire=counters.bytes_wire,
            bytes_body=counters.bytes_body,
            seconds=seconds,
            first_byte=dict(counters.first_byte),
            total=dict(counters.total),
            copied=copied,
            resumed=resumed,
            resumed_failed=resumed_failed,
            throttled=counters.throttled,
            throttled_for=counters.throttled_for,
            throttled_by=waits.throttled_by,
            limited_by=None if found is None else str(found),
            bottlenecks=dict(counters.limited_by),
            phases=dict(counters.phases),
        )

    @property
    def all_ok(self) -> bool:
        """Whether no row of the output failed, in this run or in earlier ones."""
        return not (self.failed or self.resumed_failed)

    @property
    def rate_per_s(self) -> float:
        """Rows per second, over the whole run; 0 for an empty one."""
        return self.requests / self.seconds if self.requests and self.seconds > 0 else 0.0

    def as_dict(self) -> dict[str, object]:
        """Return all numbers by name, ready for JSON, except that `statuses` has whole numbers as keys."""
        return asdict(self) | {"rate_per_s": self.rate_per_s}

    def __str__(self) -> str:
        """Return the numbers as aligned text."""
        from hurtle.report.text import summary_text

        return summary_text(self)
