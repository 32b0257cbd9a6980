"""The time of a client that knows a limiter from inside, and sends in the first moment that admits a request.

Each model says when the next request is admitted, given all that were. The ideal time of N requests is the
moment at which the last of them goes. Nothing is added for the network: loopback takes no time that shows.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor
from typing import Protocol

EPSILON = 1e-6
"""Below what a sum of times is off."""


@dataclass(frozen=True, slots=True)
class Quota:
    """A number of requests in a number of seconds."""

    limit: int
    window_s: int


class Model(Protocol):
    """What a limiter admits. Times are Unix seconds and never go back."""

    def earliest(self, now_s: float) -> float:
        """Return the first moment, not before `now_s`, at which one more request is admitted."""

    def take(self, now_s: float) -> None:
        """Admit a request at a moment that `earliest` has returned."""


Rule = Callable[[Quota], Model]


def ideal_s(model: Model, requests: int, start_s: float) -> float:
    """Return the seconds from the first request to the last, for a client that knows the model.

    Args:
        model: What the limiter admits; not used before.
        requests: How many have to be admitted.
        start_s: When the first is ready, Unix seconds: windows may be cut by the clock.
    """
    now_s = start_s
    for _ in range(requests):
        now_s = model.earliest(now_s)
        model.take(now_s)
    return now_s - start_s


class FixedWindow:
    """A counter that restarts with each window; the first request opens the first window."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._left = 0
        self._end_s = float("-inf")

    def earliest(self, now_s: float) -> float:
        return now_s if self._left or now_s >= self._end_s else self._end_s

    def take(self, now_s: float) -> None:
        if now_s >= self._end_s:
            self._left, self._end_s = self._quota.limit, self._next_end(now_s)
        self._left -= 1

    def _next_end(self, now_s: float) -> float:
        return now_s + self._quota.window_s


class WholeSecondWindow(FixedWindow):
    """The same, by a clock that knows whole seconds only: a window may end up to a second early."""

    def _next_end(self, now_s: float) -> float:
        return float(floor(now_s) + self._quota.window_s)


class SlidingLog:
    """Every span as long as the window holds at most the quota."""

    def __init__(self, quota: Quota) -> None:
        self._window_s = quota.window_s
        self._taken: deque[float] = deque(maxlen=quota.limit)

    def earliest(self, now_s: float) -> float:
        if len(self._taken) < (self._taken.maxlen or 0):
            return now_s
        return max(now_s, self._taken[0] + self._window_s)

    def take(self, now_s: float) -> None:
        self._taken.append(now_s)


class SlidingCounter:
    """Two counters: the window before counts with the share of it that still overlaps.

    Windows begin with the first request. The sum is rounded, which admits a little more than the quota.
    """

    grace = 0.5
    """The sum has to stay below the limit and this."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._start_s = 0.0
        self._count = self._before = 0

    def _turn(self, now_s: float) -> None:
        windows = floor((now_s - self._start_s) / self._quota.window_s + EPSILON)
        if windows:
            self._before, self._count = self._count if windows == 1 else 0, 0
            untouched = not self._before
            self._start_s = now_s if untouched else self._start_s + self._quota.window_s

    def earliest(self, now_s: float) -> float:
        while True:
            self._turn(now_s)
            window_s, end_s = self._quota.window_s, self._start_s + self._quota.window_s
            room = self._quota.limit + self.grace - 1 - self._count
            due_s = now_s
            if self._before:  # before * (end - t) / window <= room, solved for t
                due_s = max(now_s, end_s - room * window_s / self._before)
            if room > 0 and due_s < end_s - EPSILON:
                return due_s
            now_s = end_s

    def take(self, now_s: float) -> None:
        self._turn(now_s)
        self._count += 1


class SlidingCounterRoundedDown(SlidingCounter):
    """The same, with a sum that is rounded down."""

    grace = 1.0


class Bucket:
    """The quota's limit at once; then one comes back in each `window_s / limit` seconds."""

    def __init__(self, quota: Quota) -> None:
        self._limit = quota.limit
        self._each_s = quota.window_s / quota.limit
        self._full_s = float("-inf")

    def earliest(self, now_s: float) -> float:
        return max(now_s, self._full_s - (self._limit - 1) * self._each_s)

    def take(self, now_s: float) -> None:
        self._full_s = max(self._full_s, now_s) + self._each_s


class All:
    """Several limiters in a row: all have to admit."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = models

    def earliest(self, now_s: float) -> float:
        while (later_s := max(model.earliest(now_s) for model in self._models)) > now_s:
            now_s = later_s
        return now_s

    def take(self, now_s: float) -> None:
        for model in self._models:
            model.take(now_s)
