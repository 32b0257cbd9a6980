"""Send identical requests once: read the whole input and group rows with the same request.

The first row of a group is sent and carries the positions of the others, so that nothing has to keep answers:
the engine gives each of them the answer as its own row.
"""

from collections import deque
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TypeAlias

from hurtle.client.feed import CHUNK, Reader
from hurtle.models import BadRow, Group, Request, Row

KEY_BYTES = 16
"""Bytes of a key: two different requests of one list practically never share one (RFC 7693, section 2.1)."""

Identity: TypeAlias = tuple[str, bool, bytes]
"""A request's host, whether it is encrypted, and its unique content: see `_engine.identify`."""

Identify: TypeAlias = Callable[[Sequence[Row]], Sequence[Identity | str]]
"""Returns the identity of each row, or the error code of a row that cannot be sent."""


class Deduped:
    """Chunks of groups. The first `take` reads the whole input.

    Memory: the rows, and about 150 bytes for each different request.

    Args:
        source: The rows.
        identify: See `Identify`.
    """

    def __init__(self, source: Reader, identify: Identify) -> None:
        self._source = source
        self._identify = identify
        self._firsts: deque[tuple[int, Row]] = deque()
        self._copies: dict[int, list[tuple[int, str | Request]]] = {}
        self._copied = 0
        self._read = False
        self._closed = False
        self._error: Exception | None = None

    @property
    def copied(self) -> int:
        """How many rows get the answer to an earlier row's request."""
        return self._copied

    def take(self, limit: int) -> list[Group]:
        """Return up to `limit` groups, by the position of their first row; none at the end.

        Raises:
            Exception: What the source raised, after the rows before it.
        """
        if not self._read:
            self._read = True
            self._read_all()
        groups = [self._next_group() for _ in range(min(limit, len(self._firsts)))]
        if not groups and self._error is not None:
            raise self._error
        return groups

    def close(self) -> None:
        """Stop reading."""
        self._closed = True
        self._source.close()

    def _next_group(self) -> Group:
        index, row = self._firsts.popleft()
        return Group(index, row, tuple(self._copies.pop(index, ())))

    def _read_all(self) -> None:
        firsts: dict[bytes, tuple[int, Row]] = {}
        index = 0
        try:
            while not self._closed and (rows := self._source.take(CHUNK)):
                for row, identity in zip(rows, self._identify(rows), strict=True):
                    self._add(index, row, identity, firsts)
                    index += 1
        except Exception as error:  # noqa: BLE001 - raised again in `take`, after the rows before it
            self._error = error

    def _add(
        self, index: int, row: Row, identity: Identity | str, firsts: dict[bytes, tuple[int, Row]]
    ) -> None:
        here = (index, row)
        # A row that cannot be sent has its own error, with its line and its text.
        if isinstance(identity, str) or isinstance(row, BadRow):
            self._firsts.append(here)
            return
        first = firsts.setdefault(blake2b(identity[2], digest_size=KEY_BYTES).digest(), here)
        if first is here:
            self._firsts.append(here)
            return
        # Keep equal texts once, however often a list repeats them.
        same = isinstance(row, str) and row == first[1]
        copy = first[1] if same and isinstance(first[1], str) else row
        self._copies.setdefault(first[0], []).append((index, copy))
        self._copied += 1
