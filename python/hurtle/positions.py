"""Positions in the input: as spans, and as a set that knows which rows failed."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import overload

Span = tuple[int, int]
"""First and last of consecutive input positions."""


class Spans(Sequence[Span]):
    """Spans in 16 bytes each: a run with many requests in flight has one for every few rows.

    Example:
        >>> Spans([(0, 2), (5, 5)])
        [(0, 2), (5, 5)]
    """

    __slots__ = ("_ends",)

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._ends = array("q", chain.from_iterable(spans))

    def __len__(self) -> int:
        return len(self._ends) // 2

    @overload
    def __getitem__(self, at: int) -> Span: ...
    @overload
    def __getitem__(self, at: slice) -> "Spans": ...
    def __getitem__(self, at: int | slice) -> "Span | Spans":
        """Return a span, or some of them."""
        if isinstance(at, slice):
            return Spans(self[number] for number in range(*at.indices(len(self))))
        number = range(len(self))[at]
        return self._ends[2 * number], self._ends[2 * number + 1]

    def __iter__(self) -> Iterator[Span]:
        """Yield each span."""
        ends = iter(self._ends)
        return zip(ends, ends, strict=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(self._ends.tobytes())

    def __repr__(self) -> str:
        return repr(list(self))


class Done:
    """A set of input positions, one bit for each up to the highest, and which of their rows failed.

    Example:
        >>> done = Done([(0, 2), (5, 5)])
        >>> 1 in done, 3 in done, len(done), done.spans()
        (True, False, 4, [(0, 2), (5, 5)])
    """

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._bits = bytearray()
        self._count = 0
        self._failures: Done | None = None
        self.add_spans(spans)

    def __contains__(self, index: object) -> bool:
        if not isinstance(index, int):
            return False
        byte = index >> 3
        return 0 <= byte < len(self._bits) and bool(self._bits[byte] >> (index & 7) & 1)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        """Yield the positions, ascending."""
        for byte, bits in enumerate(self._bits):
            if bits:
                yield from (byte << 3 | bit for bit in range(8) if bits >> bit & 1)

    @property
    def bits(self) -> bytes:
        """One bit for each position, the lowest first, eight to a byte."""
        return bytes(self._bits)

    @property
    def end(self) -> int:
        """One more than the highest position; 0 if there is none."""
        return 8 * (len(self._bits) - 1) + self._bits[-1].bit_length() if self._bits else 0

    @property
    def failed(self) -> int:
        """How many of the positions have a row that is not ok, as far as recorded."""
        return 0 if self._failures is None else len(self._failures)

    def add(self, index: int, *, failed: bool = False) -> None:
        """Add a position; if it is already there, the newer row counts.

        Args:
            index: The position.
            failed: Whether its row is not ok.
        """
        if failed:
            self._failures = self._failures or Done()
            self._failures.add(index)
        elif self._failures:
            self._failures.discard(index)
        if index in self:
            return
        byte = index >> 3
        if byte >= len(self._bits):
            self._bits.extend(bytes(byte + 1 - len(self._bits)))
        self._bits[byte] |= 1 << (index & 7)
        self._count += 1

    def discard(self, index: int) -> None:
        """Remove a position, if it is there."""
        if index in self:
            self._bits[index >> 3] &= ~(1 << (index & 7))
            self._count -= 1

    def add_spans(self, spans: Iterable[Span], failed: Iterable[Span] = ()) -> None:
        """Add the positions of a part.

        Args:
            spans: The positions of its rows.
            failed: The positions of the rows that are not ok.
        """
        for some, are_failed in ((spans, False), (failed, True)):
            for first, last in some:
                for index in range(first, last + 1):
                    self.add(index, failed=are_failed)

    def spans(self) -> Spans:
        """Return the positions as spans, ascending."""
        return Spans(_joined(self))


def spans_of(indexes: Iterable[int]) -> Spans:
    """Return positions as spans, ascending.

    Example:
        >>> spans_of([4, 0, 1, 2])
        [(0, 2), (4, 4)]
    """
    return Spans(_joined(sorted(indexes)))


def _joined(ascending: Iterable[int]) -> Iterator[Span]:
    """Yield ascending positions as spans, without keeping them."""
    first = last = -1
    for index in ascending:
        if index > last + 1 or first < 0:
            if first >= 0:
                yield first, last
            first = index
        last = index
    if first >= 0:
        yield first, last
