"""The two ways in which hurtle is run, and what each has to reach."""

from dataclasses import dataclass, field

from hurtle.options import OptionsDict
from tests.limiters.ideal import Quota


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One way to run hurtle.

    Attributes:
        title: What the page calls it.
        requests: How many are sent.
        quota: What the limiter grants, where it can be set to that.
        options: What hurtle is told.
        most_in_a_window: Refusals in one window after the first, at most; None: not counted.
        most_refused: Refusals for each request, at most; None: not counted.
        most_times_ideal: The time against the ideal, at most.
    """

    title: str
    requests: int
    quota: Quota
    options: OptionsDict = field(default_factory=OptionsDict)
    most_in_a_window: int | None = None
    most_refused: float | None = None
    most_times_ideal: float


MODES = {
    "default": Mode(
        title="Default options",
        requests=20,
        quota=Quota(5, 5),
        most_in_a_window=2,
        most_refused=0.4,
        most_times_ideal=1.3,
    ),
    "auto": Mode(
        title='`rate_limit_per_host="auto"`',
        requests=60,
        quota=Quota(10, 5),
        options={"rate_limit_per_host": "auto"},
        most_refused=0.1,
        most_times_ideal=1.35,
    ),
}
