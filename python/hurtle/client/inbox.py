"""The buffer between the code that pulls rows from a caller's iterator and the thread that submits them.

Pulling and submitting are separate because an iterator may wait for anything, even for the response to an
earlier row (as a crawler's frontier does). So every row must be submitted while the next is still awaited.
"""

from collections import deque
from collections.abc import Callable
from threading import Event
from time import monotonic

from hurtle.models import Row

CAPACITY = 1024
"""Rows held between the two sides."""


class Inbox:
    """A bounded buffer for one adder and one taker, without a lock in the common case.

    Each side sets its flag before its last look at the buffer and its wait, and reads the other's flag after
    it changed the buffer. So no wake-up is lost. `deque.append` and `popleft` are atomic.

    Args:
        wake_adder: Called from the taker's thread when there is room again for a waiting adder.
        until: The instant of `time.monotonic()` at which rows stop being taken; None: never.
    """

    __slots__ = ("_adder_waits", "_arrived", "_ended", "_rows", "_taker_waits", "_until", "_wake_adder")

    def __init__(self, wake_adder: Callable[[], None], until: float | None = None) -> None:
        self._rows: deque[Row] = deque()
        self._wake_adder = wake_adder
        self._until = until
        self._arrived = Event()
        self._adder_waits = False
        self._taker_waits = False
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether no more rows come or none are wanted: the adder must stop."""
        return self._ended

    def add(self, row: Row) -> None:
        """Append a row. The adder must check `must_wait` and `ended` afterwards."""
        self._rows.append(row)
        if self._taker_waits:
            self._arrived.set()

    def must_wait(self) -> bool:
        """Whether the buffer is full. If so, the taker will call `wake_adder`."""
        if len(self._rows) < CAPACITY:
            return False
        self._adder_waits = True
        return len(self._rows) >= CAPACITY and not self._ended

    def take(self, limit: int) -> list[Row]:
        """Wait for rows and return up to `limit` of them; an empty list when no more come."""
        rows = self._rows
        if self._until is not None and monotonic() >= self._until:
            return []
        while not rows and not self._ended:
            self._arrived.clear()
            self._taker_waits = True
            if not rows and not self._ended and not self._arrived.wait(self._left()):
                return []
            self._taker_waits = False
        taken = [rows.popleft() for _ in range(min(limit, len(rows)))]
        if self._adder_waits:
            self._adder_waits = False
            self._wake_adder()
        return taken

    def _left(self) -> float | None:
        return None if self._until is None else max(0.0, self._until - monotonic())

    def end(self) -> None:
        """Declare that no more rows come or that none are wanted. Wakes both sides."""
        self._ended = True
        self._arrived.set()
        self._wake_adder()
