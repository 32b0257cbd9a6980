"""What a list would take, before anything is sent: the numbers."""

from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """What one host would take. Times are seconds.

    Attributes:
        host: The name, as limits go by it: all ports and both schemes together.
        requests: Requests to send to it.
        duplicates: How many of its rows repeat an earlier one; of those compared, see `Plan.compared`.
        rate_limit: Its limit over time as text, "auto", or None for no limit.
        concurrency: The most requests in flight, or "auto".
        rate_s: The least its rate limit lets them take; None where "auto" will find the rate.
        concurrency_s: What they take so many at a time, each in the assumed latency; None for "auto".
        seconds: The longer of the two; what is not known yet counts as 0.
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
    """What a list would take under the options given. Times are seconds, and the least that is possible.

    Attributes:
        rows: Rows of the list.
        requests: Requests to send: rows that can be sent, without the duplicates when `dedupe` is on.
        hosts: One for each host, the longest time first.
        http: Rows to be sent in the clear.
        https: Rows to be sent encrypted.
        errors: How often each error code would be a row's end without anything being sent.
        skipped: Blank lines and comments.
        duplicates: Rows that repeat an earlier one.
        compared: How many rows were compared for `duplicates`; fewer than can be sent for a huge list.
        dedupe: Whether identical requests are sent once.
        rate_limit: The limit over all hosts as text, "auto", or None.
        concurrency: The most requests in flight over all hosts, or "auto".
        rate_s: The least that the limit over all hosts lets the list take; None for "auto".
        concurrency_s: What the limit in flight over all hosts lets it take; None for "auto".
        latency: Assumed seconds from a request to the end of its answer.
        seconds: The longest of all these times.
        critical: One sentence: what takes the longest, and all else.
        advice: Sentences: which option to change, to which value, for what gain.
        assumptions: Sentences: what nobody can know before sending.
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
        """Return everything by name, fit for JSON."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the plan as aligned text."""
        from hurtle.report.plan_text import plan_text

        return plan_text(self)

    def __str__(self) -> str:
        """Return the plan as aligned text."""
        return self.to_text()
