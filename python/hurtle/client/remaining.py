"""The remaining rows of an input that is partly done."""

from collections.abc import Container, Iterable

from hurtle._engine import IDEMPOTENT_METHODS
from hurtle.client.feed import Chunks
from hurtle.errors import ConfigError
from hurtle.models import Group, Request, Row, Withheld
from hurtle.positions import Done

SENT_UNKNOWN = "local.sent_unknown"
_DETAIL = "it was being sent when an earlier run ended; whether it arrived is not known"


class Remaining:
    """Passes on the rows that are not done, each with its position.

    A request that may have arrived already and whose method is not idempotent is withheld: it becomes a row
    that says so.

    Args:
        chunks: The whole input.
        done: Positions whose rows are committed.
        unknown: Positions that an earlier run may have sent and that are not done. None: send them again.
        is_timed: Whether a time limit may end the input early. Then an early end is not an error.
    """

    def __init__(
        self,
        chunks: Chunks,
        done: Container[int],
        unknown: Container[int] | None = frozenset(),
        *,
        is_timed: bool = False,
    ) -> None:
        self._chunks = chunks
        self._done = done
        self._unknown = unknown
        self._index = 0
        self._reached = 0
        self._copied = 0
        self._end = done.end if isinstance(done, Done) and not is_timed else 0

    def take(self, limit: int) -> list[Group]:
        """Return up to `limit` rows, at least one, or none at the end. Raises what the source raised.

        Raises:
            ConfigError: The input ends before a position that is done: it is a different input.

        There may be more than `limit` if withheld rows have copies, because each copy becomes its own row.
        """
        while rows := self._chunks.take(limit):
            if left := [group for row in rows for group in self._left_of(row)]:
                return left
        if self._reached < self._end:
            raise ConfigError(
                f"the input ended after {self._reached} rows, but the run has a row at position"
                f" {self._end - 1}: it is not the same input",
                option="requests",
            )
        return []

    @property
    def copied(self) -> int:
        """How many of the remaining rows get the answer to an earlier row's request."""
        return self._copied

    def close(self) -> None:
        """Stop reading."""
        self._chunks.close()

    def _left_of(self, row: Row | Group) -> Iterable[Group]:
        """Return what remains of a row and its copies; the first of them is sent."""
        if not isinstance(row, Group):
            row = Group(self._index, row)
        self._index = row.index + 1
        # Copies lie behind rows that are yet to come.
        self._reached = max(self._reached, row.copies[-1][0] + 1 if row.copies else self._index)
        first = row.row
        copies = tuple(copy for copy in row.copies if copy[0] not in self._done)
        is_left = row.index not in self._done
        if isinstance(first, Request) and self._may_have_arrived(row, first, copies, is_left=is_left):
            if is_left:
                yield Group(row.index, _withheld(first))
            yield from (Group(index, _withheld(copy)) for index, copy in copies)
        elif is_left:
            self._copied += len(copies)
            yield Group(row.index, first, copies)
        elif copies:
            (index, copy), *others = copies
            self._copied += len(others)
            yield Group(index, copy, tuple(others))

    def _may_have_arrived(
        self, row: Group, first: Request, copies: tuple[tuple[int, str | Request], ...], *, is_left: bool
    ) -> bool:
        """Whether a request that must not be sent twice went out for this row or one of its copies."""
        if self._unknown is None or first.method in IDEMPOTENT_METHODS:
            return False
        # One request was sent for all copies: if only some have their rows, it was sent.
        some_are_done = not is_left or len(copies) < len(row.copies)
        return (
            some_are_done or row.index in self._unknown or any(index in self._unknown for index, _ in copies)
        )


def _withheld(request: str | Request) -> Withheld:
    assert isinstance(request, Request)  # as is the first copy, byte for byte
    return Withheld(request, SENT_UNKNOWN, _DETAIL)
