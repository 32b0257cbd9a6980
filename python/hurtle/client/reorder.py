"""Restore input order from completion order, in bounded memory."""

from collections.abc import Callable, Iterator
from threading import Condition
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from hurtle._engine import Batch, Response

LEAST_ROWS = 1024


class Window:
    """How far the feeder may run ahead of the consumer: by rows, and by the bytes held back.

    Rows are submitted in order, so the row that the consumer waits for is submitted already or is the next
    one. The window always lets that one through, so it cannot stay full forever.

    Args:
        rows: The most rows submitted and not yet yielded.
        held_bytes: The most bytes of responses that wait for an earlier row.
    """

    def __init__(self, rows: int, held_bytes: int) -> None:
        self._most_rows = rows
        self._most_bytes = held_bytes
        self._sent = 0
        self._yielded = 0
        self._held_bytes = 0
        self._closed = False
        self._changed = Condition()
        self.tell: Callable[[int, int], None] | None = None
        """Called with the bytes held back and the position of the awaited row, when either has changed."""

    def wait(self) -> int:
        """Wait until rows may be submitted and return how many; 0 when the window is closed."""
        with self._changed:
            while not self._closed and self._room() <= 0:
                self._changed.wait()
            return 0 if self._closed else self._room()

    def _room(self) -> int:
        if self._held_bytes >= self._most_bytes:
            # Copies of a request may fill the window with answers to rows far after the awaited one.
            return 0 if self._sent > self._yielded else 1
        return self._most_rows - (self._sent - self._yielded)

    def sent(self, rows: int) -> None:
        """Set how many rows were submitted in all: the first ones of the input, without a gap."""
        with self._changed:
            self._sent = rows

    def move(self, yielded: int, held_bytes: int) -> None:
        """Set how many rows were yielded in all, and how many bytes are held back now."""
        with self._changed:
            changed = (yielded, held_bytes) != (self._yielded, self._held_bytes)
            self._yielded = yielded
            self._held_bytes = held_bytes
            self._changed.notify_all()
        if changed and self.tell is not None:
            self.tell(held_bytes, yielded)

    def close(self) -> None:
        """Let no more rows through."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


_Item = TypeVar("_Item")


class Reorder(Generic[_Item]):
    """Holds back rows until every earlier one was passed on. O(1) per row.

    Args:
        window: How far rows are submitted ahead.
        start: Position of the first row.
    """

    def __init__(self, window: Window | None = None, start: int = 0) -> None:
        self._window = window
        self._held: dict[int, tuple[_Item, int]] = {}
        self._held_bytes = 0
        self._next = start
        if window is not None:
            window.sent(start)
            window.move(start, 0)

    def hold(self, index: int, item: _Item, size: int) -> None:
        """Add the item for a row, with the length of its body, decoded."""
        self._held[index] = item, size
        self._held_bytes += size

    def due(self) -> Iterator[_Item]:
        """Yield the items that are due, in input order; then move the window."""
        while (held := self._held.pop(self._next, None)) is not None:
            item, size = held
            self._held_bytes -= size
            self._next += 1
            yield item
        if self._window is not None:
            self._window.move(self._next, self._held_bytes)

    def rest(self) -> list[_Item]:
        """Return the items still held, in input order: those whose earlier rows never arrived."""
        held, self._held = self._held, {}
        return [held[index][0] for index in sorted(held)]


def in_order(batch: "Batch", reorder: "Reorder[Response]") -> "Iterator[Response]":
    """Add a batch and yield the responses that are due."""
    for response, size in zip(batch, batch.body_sizes(), strict=True):
        reorder.hold(response.index, response, size)
    return reorder.due()
