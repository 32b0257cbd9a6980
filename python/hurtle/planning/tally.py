"""Count a list by host, in memory that grows with the hosts, not with the URLs."""

from array import array
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeAlias

MOST_COMPARED = 25_000_000
"""The most rows that are compared with each other: 12 bytes each, so 300 MB at most."""

BUCKETS = 256
"""Keys are compared bucket by bucket, so that only one bucket at a time is a set of Python objects."""

KEY_BYTES = 8
"""Bytes of a key. Among 25 million rows, two different ones count as equal with a chance of 1 in 60,000. That
is good enough for a count; requests that are merged before sending have longer keys."""

Identity: TypeAlias = tuple[str, bool, bytes]
"""A request's host, whether it is encrypted, and its unique content: see `_engine.identify`."""


class Tally:
    """Counts the rows of each host, those that repeat an earlier one, and those that cannot be sent.

    Memory: about 200 bytes for each host, and 12 for each row that is compared.

    Args:
        most_compared: The most rows to compare.
    """

    def __init__(self, most_compared: int = MOST_COMPARED) -> None:
        self.https = 0
        self.errors: Counter[str] = Counter()
        self.compared = 0
        self._most_compared = most_compared
        self._numbers: dict[str, int] = {}
        self._rows = array("Q")
        self._keys = [(array("Q"), array("I")) for _ in range(BUCKETS)]

    def add(self, identities: Sequence[Identity | str]) -> None:
        """Count rows, given what `_engine.identify` returns for each."""
        for identity in identities:
            if isinstance(identity, str):
                self.errors[identity] += 1
                continue
            host, encrypted, text = identity
            number = self._numbers.setdefault(host, len(self._rows))
            if number == len(self._rows):
                self._rows.append(0)
            self._rows[number] += 1
            self.https += encrypted
            if self.compared < self._most_compared:
                self._compare(number, text)

    def _compare(self, number: int, text: bytes) -> None:
        self.compared += 1
        key = blake2b(text, digest_size=KEY_BYTES).digest()
        keys, numbers = self._keys[key[0]]
        keys.append(int.from_bytes(key, "little"))
        numbers.append(number)

    @property
    def sendable(self) -> int:
        """Rows that can be sent."""
        return sum(self._rows)

    def hosts(self) -> list[tuple[str, int, int]]:
        """Return each host, its number of rows, and how many repeat an earlier one. O(rows compared)."""
        repeats = array("Q", bytes(8 * len(self._rows)))
        for keys, numbers in self._keys:
            seen: set[int] = set()
            for key, number in zip(keys, numbers, strict=True):
                if key in seen:
                    repeats[number] += 1
                else:
                    seen.add(key)
        return [(host, self._rows[number], repeats[number]) for host, number in self._numbers.items()]
