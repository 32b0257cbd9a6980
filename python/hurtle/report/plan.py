"""The estimate of how long a list will take, before anything is sent: the numbers."""

from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """The estimate for one host, or for hosts that share limits. Times are seconds.

    Attributes:
        host: The name, as limits use it: all ports and both schemes together. With `limit_by="domain"` the
            domain; of hosts that share limits the names of their entry.
        requests: Requests to send to it.
        duplicates: How many of its rows repeat an earlier one, among the rows compared (`Plan.compared`).
        rate_limit: Its limit over time as text, "auto", or None for no limit.
        concurrency: The most requests in flight, or "auto".
        rate_s: The least time by its rate limit; None if "auto" will find the rate.
        concurrency_s: The time by its limit in flight, at the assumed latency; None for "auto".
        seconds: The longer of the two; an unknown time counts as 0.
    """

    host: str
    requests: int
    duplicates: int
    rate_limit: str | None
    concurrency: int | Literal["auto"]
    rate_s: float | None
    concurrency_s: float | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The estimate for a list under the given options. Times are seconds, and lower bounds.

    Attributes:
        rows: Rows of the list.
        requests: Requests to send: rows that can be sent, without duplicates if `dedupe` is on.
        hosts: One for each host, the longest time first.
        http: Rows to send without encryption.
        https: Rows to send encrypted.
        errors: How many rows cannot be sent, by error code.
        skipped: Blank lines and comments.
        duplicates: Rows that repeat an earlier one.
        compared: How many rows were compared for `duplicates`; fewer than can be sent if the list is huge.
        dedupe: Whether identical requests are sent once.
        rate_limit: The limit over all hosts as text, "auto", or None.
        concurrency: The most requests in flight over all hosts, or "auto".
        rate_s: The least time by the rate limit over all hosts; None for "auto".
        concurrency_s: The time by the limit in flight over all hosts; None for "auto".
        latency: Assumed seconds from a request to the end of its answer.
        seconds: The longest of all these times.
        critical: One sentence: what takes the longest, and the rest.
        advice: Sentences: which option to change, to which value, and what it gains.
        assumptions: Sentences: what cannot be known before sending.
    """

    rows: int
    requests: int
    hosts: tuple[HostPlan, ...]
    http: int
    https: int
    errors: dict[str, int]
    skipped: int
    duplicates: int
    compared: int
    dedupe: bool
    rate_limit: str | None
    concurrency: int | Literal["auto"]
    rate_s: float | None
    concurrency_s: float | None
    latency: float
    seconds: float
    critical: str
    advice: tuple[str, ...]
    assumptions: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Return everything by name, ready for JSON."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the plan as aligned text."""
        from hurtle.report.plan_text import plan_text

        return plan_text(self)

    def __str__(self) -> str:
        """Return the plan as aligned text."""
        return self.to_text()
