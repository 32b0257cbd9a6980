"""Rates and spans of time as people write them: "100/min" is 100 requests every 60 seconds, "15min" is 900 s.

Pure functions, one grammar.
"""

import re
from dataclasses import dataclass
from math import floor, log10
from typing import TYPE_CHECKING, Literal, TypeAlias

from hurtle import checks

if TYPE_CHECKING:
    from fractions import Fraction

GRAMMAR = (
    'requests per time above 0, such as 50 (a second), "100/min", "30/5min", "1000/day" or "100/min burst'
    ' 20" (units: ms, s, min, h, day), or "auto", or "none"'
)
"""The allowed forms of a rate, as every error message lists them."""

_UNITS_MS = {
    "ms": 1,
    "s": 1000, "sec": 1000, "second": 1000, "seconds": 1000,
    "min": 60_000, "minute": 60_000, "minutes": 60_000,
    "h": 3_600_000, "hour": 3_600_000, "hours": 3_600_000,
    "d": 86_400_000, "day": 86_400_000, "days": 86_400_000,
}  # fmt: skip
_SHOWN_UNITS_S = {"day": 86400, "h": 3600, "min": 60, "s": 1}
_NUMBER = r"\d{1,12}(?:\.\d{1,12})?"
_RATE = re.compile(
    rf"(?P<count>{_NUMBER})(?: ?/ ?(?P<span>{_NUMBER})? ?(?P<unit>[a-z]+))?"
    r"(?: +burst +(?P<burst>\d{1,12}))?",
    re.ASCII,
)
_SPAN = re.compile(rf"(?P<span>{_NUMBER}) ?(?P<unit>[a-z]+)?", re.ASCII)
_FINEST = 10**6
"""The largest denominator when a number of requests is rounded: 1/3 is one every three seconds."""

_ROUNDING = 1e-9
"""The share by which a number may miss the one that is meant: 0.2 times 60 is to be 12."""

SHORTEST_S = 0.001
"""Seconds of the shortest span of a rate: timers are no finer."""

MOST_PER_S = 10**9
"""Requests a second of the highest rate: one every nanosecond, the smallest unit of the clock."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A number of requests per span of time, evenly spaced.

    Args:
        count: Number of requests.
        per: Seconds of the span.
        burst: How many of them may go at once after a pause; 1: only the next one.

    Raises:
        ConfigError: A value is out of range, or the rate is above `MOST_PER_S`.

    Example:
        >>> print(Rate(100, 60.0, burst=20))
        100/min burst 20
    """

    count: int
    per: float = 1.0
    burst: int = 1

    def __post_init__(self) -> None:
        """Check every value."""
        checks.count("rate.count", self.count)
        object.__setattr__(self, "per", checks.seconds("rate.per", self.per))
        checks.count("rate.burst", self.burst)
        if self.per < SHORTEST_S:
            raise checks.wrong("rate.per", self.per, f"at least {SHORTEST_S} seconds")
        if self.per_s > MOST_PER_S:
            raise checks.wrong("rate.count", self.count, f"at most {MOST_PER_S} requests a second")

    @property
    def per_s(self) -> float:
        """Requests a second, on average."""
        return self.count / self.per

    def __str__(self) -> str:
        """Return the rate in the grammar that `rate_limit` reads."""
        for unit, unit_s in _SHOWN_UNITS_S.items():
            units = self.per / unit_s
            if units >= 1 and units.is_integer():
                span = unit if units == 1 else f"{units:.0f}{unit}"
                break
        else:
            # Digits without an exponent: the grammar has none.
            span = f"{self.per:.12f}".rstrip("0") + "s"
        return f"{self.count}/{span}" + (f" burst {self.burst}" if self.burst > 1 else "")


RateLimit: TypeAlias = Rate | Literal["auto", "none"]
"""A parsed limit on requests over time: a rate; "auto", found from the responses; or "none"."""

RateSpec: TypeAlias = Rate | str | float
"""The same as people write it; a number is requests a second."""


def rate_limit(option: str, value: object) -> RateLimit:
    """Read a limit on requests over time.

    Args:
        option: The option's name, for the error.
        value: As in `RateSpec`.

    Returns:
        The rate, "auto", or "none" if the limit is lifted.

    Raises:
        ConfigError: The value does not fit the grammar; the message shows both.
    """
    limit: RateLimit | None = None
    if isinstance(value, Rate):
        limit = value
    elif isinstance(value, str):
        limit = _from_text(value.strip().lower())
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= MOST_PER_S:
        limit = _from_number(value)
    if limit is None:
        raise checks.wrong(option, value, GRAMMAR)
    return limit


def rate_text(per_s: float) -> str:
    """Return a rate as a limit is written, rounded down to two digits.

    Args:
        per_s: Requests a second, above 0.

    Example:
        >>> rate_text(58.3), rate_text(2.57), rate_text(0.2), rate_text(1 / 600)
        ('58/s', '2.5/s', '12/min', '6/h')
    """
    count, unit = per_s * 86400, "day"
    for name, unit_s in reversed(_SHOWN_UNITS_S.items()):
        if per_s * unit_s >= 1 - _ROUNDING:
            count, unit = per_s * unit_s, name
            break
    digits = max(0, 1 - floor(log10(count)))
    shown = floor(count * 10**digits * (1 + _ROUNDING)) / 10**digits
    return f"{shown:.{digits}f}".rstrip("0").rstrip(".") + f"/{unit}" if digits else f"{shown:.0f}/{unit}"


def seconds(value: object) -> float | None:
    """Read a span of time.

    Args:
        value: Seconds, or text: a number and a unit of the grammar of rates.

    Returns:
        The seconds; None for anything else, and for a span that is not above 0 or longer than
        `checks.LONGEST_S`.

    Example:
        >>> seconds("15min"), seconds("1.5 h"), seconds(30), seconds("soon")
        (900.0, 5400.0, 30.0, None)
    """
    span: object = value
    if isinstance(value, str):
        found = _SPAN.fullmatch(value.strip().lower())
        unit_ms = _UNITS_MS.get(found["unit"] or "s") if found else None
        span = float(found["span"]) * unit_ms / 1000 if found and unit_ms else None
    if isinstance(span, bool) or not isinstance(span, (int, float)) or not 0 < span <= checks.LONGEST_S:
        return None
    return float(span)


def _from_number(count: float) -> Rate | None:
    from fractions import Fraction

    return _from_parts(Fraction(count), Fraction(1), 1)


def _from_text(text: str) -> RateLimit | None:
    from fractions import Fraction  # exact; imported only if a rate is given

    match text:
        case "auto" | "none":
            return text
    found = _RATE.fullmatch(text)
    unit_ms = _UNITS_MS.get(found["unit"] or "s") if found else None
    if not found or unit_ms is None:
        return None
    span_s = Fraction(found["span"] or 1) * unit_ms / 1000
    return _from_parts(Fraction(found["count"]), span_s, int(found["burst"] or 1))


def _from_parts(count: "Fraction", span_s: "Fraction", burst: int) -> Rate | None:
    """Return the rate in whole requests: half a request a second is one every two. None: out of range."""
    whole = count.limit_denominator(_FINEST)
    per = float(whole.denominator * span_s)
    if whole <= 0 or not SHORTEST_S <= per <= checks.LONGEST_S or whole.numerator > MOST_PER_S * per:
        return None
    if max(whole.numerator, burst) > checks.MAX_COUNT or burst < 1:
        return None
    return Rate(whole.numerator, per, burst)
