"""Input order out of completion order, in bounded memory."""

from collections.abc import Iterable, Iterator
from threading import Condition
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hurtle._engine import Response

LEAST_ROWS = 1024


class Window:
    """How far the feeder may run ahead of the consumer: by rows and by the bytes held back.

    The row that everyone waits for is always submitted already, because rows are submitted in order; so a
    full window cannot stop it, and always opens again.

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

    def wait(self) -> int:
        """Wait until rows may be submitted and return how many; 0 when the window is closed."""
        with self._changed:
            while not self._closed and self._room() <= 0:
                self._changed.wait()
            return 0 if self._closed else self._room()

    def _room(self) -> int:
        if self._held_bytes >= self._most_bytes:
            return 0
        return self._most_rows - (self._sent - self._yielded)

    def sent(self, rows: int) -> None:
        """Count rows submitted."""
        with self._changed:
            self._sent += rows

    def move(self, yielded: int, held_bytes: int) -> None:
        """Tell how many rows were yielded in all, and how many bytes are held back now."""
        with self._changed:
            self._yielded = yielded
            self._held_bytes = held_bytes
            self._changed.notify_all()

    def close(self) -> None:
        """Let no more rows through."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Reorder:
    """Holds back responses until every earlier one was yielded. O(1) a row."""

    def __init__(self) -> None:
        self._held: dict[int, Response] = {}
        self._held_bytes = 0
        self._next = 0

    def pass_on(self, batch: "Iterable[Response]", window: Window | None = None) -> "Iterator[Response]":
        """Take in a batch and yield what is due, in input order; then tell the window how far that is."""
        for response in batch:
            self._held[response.index] = response
            self._held_bytes += response.bytes_wire
        while (due := self._held.pop(self._next, None)) is not None:
            self._held_bytes -= due.bytes_wire
            self._next += 1
            yield due
        if window is not None:
            window.move(self._next, self._held_bytes)
