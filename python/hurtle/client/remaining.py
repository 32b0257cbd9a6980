"""What is left of an input of which a part is done."""

from collections.abc import Container

from hurtle.client.feed import Chunks
from hurtle.models import Group, Row


class Remaining:
    """Passes on the rows that are not done, each with its position.

    Args:
        chunks: The whole input.
        done: Positions whose rows are committed.
    """

    def __init__(self, chunks: Chunks, done: Container[int]) -> None:
        self._chunks = chunks
        self._done = done
        self._index = 0

    def take(self, limit: int) -> list[Group]:
        """Return up to `limit` rows, at least one, or none at the end. Raises what the source raised."""
        while rows := self._chunks.take(limit):
            if left := [group for row in rows if (group := self._left_of(row)) is not None]:
                return left
        return []

    def close(self) -> None:
        """Stop reading."""
        self._chunks.close()

    def _left_of(self, row: Row | Group) -> Group | None:
        """Return what is left of a row and its copies; the first of them is the one that is sent."""
        if not isinstance(row, Group):
            row = Group(self._index, row)
        self._index = row.index + 1
        copies = tuple(copy for copy in row.copies if copy[0] not in self._done)
        if row.index not in self._done:
            return Group(row.index, row.row, copies)
        if not copies:
            return None
        (index, first), *others = copies
        return Group(index, first, tuple(others))
