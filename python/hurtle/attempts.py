"""How long an attempt may take, and when another follows it: two groups of options."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from hurtle import checks, rates

PATIENCE_S = 15 * 60.0
"""Seconds for which a refused request is retried by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeout:
    """Time limits for ONE attempt, from the moment it gets a slot; queueing never counts.

    Args:
        total: Seconds for the whole attempt, to the last byte of the body. None: no limit.
        connect: Seconds for name resolution, TCP and TLS together.
        first_byte: Seconds from the end of the request to the first byte of the response.
        read: Seconds between two reads of the body.
    """

    total: float | None = 30.0
    connect: float | None = None
    first_byte: float | None = None
    read: float | None = None

    def __post_init__(self) -> None:
        """Check every limit."""
        for name in ("total", "connect", "first_byte", "read"):
            object.__setattr__(self, name, checks.seconds_or_none(f"timeout.{name}", getattr(self, name)))

    @classmethod
    def of(cls, value: object) -> "Timeout":
        """Read a value of `timeout=`: seconds, (connect, read), a `Timeout`, a dict of its fields, or None.

        Raises:
            ConfigError: The value is anything else, or a span is not above 0.
        """
        match value:
            case Timeout():
                return value
            case (connect, read):
                # As in requests, the pair sets these two limits and no total.
                return cls(
                    total=None,
                    connect=checks.seconds_or_none("timeout[0] (connect)", connect),
                    read=checks.seconds_or_none("timeout[1] (read)", read),
                )
            case Mapping():
                return cls(**checks.keys("timeout", value, names_of(cls)))  # type: ignore[arg-type]
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0
        ):
            allowed = "seconds above 0, (connect, read), Timeout(...), or None for no limit"
            raise checks.wrong("timeout", value, allowed)
        return cls(total=None if value is None else checks.seconds("timeout", value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When to retry a request.

    Args:
        total: Further attempts after the first.
        statuses: Statuses that are retried.
        methods: Methods that may be repeated even if it is unknown how an attempt ended. None: the idempotent
            ones, `hurtle._engine.IDEMPOTENT_METHODS`.
        backoff: Seconds of the first wait; doubles with each attempt.
        max_backoff: Seconds of the longest wait.
        jitter: The part of each wait that is random, from 0 to 1.
        respect_retry_after: Whether to leave a host alone until the time it names in Retry-After.
        max_retry_after: Seconds of the longest such wait; a longer one is cut to this.
        rounds: How often to probe a host that is down, once nothing else is left to do, before giving up the
            requests that wait for it.
        patience: How long to retry a request that its host refuses because it gets too many, from the first
            refusal: seconds, text such as "15min", or "none" to count a refusal as a failure. Refusals do not
            count against `total`. None: 15 minutes, but "none" if `total` is 0.
        refused: Which refused requests are retried: "any", because no server has processed them, or
            "idempotent", only those of `methods`.
    """

    total: int = 2
    statuses: tuple[int, ...] = (408, 425, 429, 500, 502, 503, 504)
    methods: tuple[str, ...] | None = None
    backoff: float = 0.5
    max_backoff: float = 60.0
    jitter: float = 1.0
    respect_retry_after: bool = True
    max_retry_after: float = 120.0
    rounds: int = 6
    patience: float | str | None = None
    refused: Literal["any", "idempotent"] = "any"

    def __post_init__(self) -> None:
        """Check every value; any iterable becomes a tuple, `patience` seconds, "none" or None."""
        keep = object.__setattr__
        keep(self, "total", checks.count("retries.total", self.total, least=0))
        keep(self, "statuses", checks.statuses("retries.statuses", self.statuses))
        if self.methods is not None:
            keep(self, "methods", checks.methods("retries.methods", self.methods))
        keep(self, "backoff", checks.seconds_from_zero("retries.backoff", self.backoff))
        keep(self, "max_backoff", checks.seconds_from_zero("retries.max_backoff", self.max_backoff))
        keep(self, "jitter", checks.share("retries.jitter", self.jitter))
        checks.flag("retries.respect_retry_after", self.respect_retry_after)
        longest = checks.seconds_from_zero("retries.max_retry_after", self.max_retry_after)
        keep(self, "max_retry_after", longest)
        keep(self, "rounds", checks.count("retries.rounds", self.rounds, least=0))
        keep(self, "patience", _patience(self.patience))
        if self.refused not in ("any", "idempotent"):
            raise checks.wrong("retries.refused", self.refused, '"any" or "idempotent"')

    @property
    def patience_s(self) -> float | None:
        """Seconds of patience; None: there is none."""
        if self.patience is None:
            return PATIENCE_S if self.total else None
        return self.patience if isinstance(self.patience, float) else None

    @classmethod
    def of(cls, value: object) -> "Retry":
        """Read a value of `retries=`: a number, a `Retry`, or a dict of its fields.

        Raises:
            ConfigError: The value is anything else, or out of range.
        """
        if isinstance(value, Retry):
            return value
        if isinstance(value, Mapping):
            return cls(**checks.keys("retries", value, names_of(cls)))  # type: ignore[arg-type]
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise checks.wrong("retries", value, "a whole number from 0 up, or Retry(...)")
        return cls(total=value)


def _patience(value: object) -> float | Literal["none"] | None:
    if value is None or (isinstance(value, str) and value.strip().lower() == "none"):
        return None if value is None else "none"
    found = rates.seconds(value)
    if found is None:
        allowed = 'seconds above 0, text such as "15min" (units: ms, s, min, h, day), or "none"'
        raise checks.wrong("retries.patience", value, allowed)
    return found


def names_of(group: type[Timeout | Retry]) -> tuple[str, ...]:
    """Return the fields of a group of options."""
    return tuple(field.name for field in fields(group))
