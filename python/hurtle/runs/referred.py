"""Finds the bodies that unchanged rows of a refresh refer to: each is in an earlier run, at some position."""

from array import array
from bisect import bisect_left
from datetime import datetime
from hashlib import blake2b

from hurtle.errors import JournalError
from hurtle.formats.row_json import StoredRow
from hurtle.runs.run import Run

KEY_BYTES = 16
"""Bytes of a hash: two different requests practically never share one (RFC 7693, section 2.1)."""


class ReferredRun:
    """An earlier run whose rows are looked up by their positions.

    Memory: 24 bytes per row from the first look-up on, and what finders keep. Not thread-safe.

    Args:
        name: The run, as the rows that refer to it name it.
        run: The run.
    """

    def __init__(self, name: str, run: Run) -> None:
        self._name = name
        self._run = run
        self._index: _Index | None = None

    def found(self, row: StoredRow) -> tuple[StoredRow, bytes | None]:
        """Return the row that a row refers to, and its body.

        Raises:
            JournalError: The run is no longer the one that the row was compared with.
        """
        if self._index is None:
            self._index = _Index(self._run)
        index = row["body_index"]
        found = self._index.row(index)
        if found is None:
            raise self._another(row, f"has no row {index}")
        if found.get("body_run") is not None or _key_of(found) != _key_of(row):
            raise self._another(row, f"has another request in row {index}")
        if _is_later(found["fetched_at"], row["fetched_at"]):
            raise self._another(row, f"has requested row {index} again since then")
        return found, self._run.own_body(found)

    def _another(self, row: StoredRow, words: str) -> JournalError:
        return JournalError(
            f"the body of row {row['index']} was in {self._name}, which is another run now: it {words}"
        )


class _Index:
    """Says where the newest row of each position is."""

    def __init__(self, run: Run) -> None:
        self._finders = [part.stored.finder() for part in run.parts]
        found = [array("q"), array("q"), array("q")]
        for number, (finder, part) in enumerate(zip(self._finders, run.parts, strict=True)):
            hidden = part.hidden()
            for position, place in finder.places():
                if position in hidden:
                    continue
                for column, value in zip(found, (position, number, place), strict=True):
                    column.append(value)
        order = sorted(range(len(found[0])), key=found[0].__getitem__)
        self._positions, self._numbers, self._places = (
            array("q", map(column.__getitem__, order)) for column in found
        )

    def row(self, position: int) -> StoredRow | None:
        """Return the row at a position; None: there is none."""
        at = bisect_left(self._positions, position)
        if at == len(self._positions) or self._positions[at] != position:
            return None
        row = self._finders[self._numbers[at]].row_at(self._places[at])
        return row if row["index"] == position else None


def _is_later(instant: object, other: object) -> bool:
    return isinstance(instant, datetime) and isinstance(other, datetime) and instant > other


def _key_of(row: StoredRow) -> bytes:
    return key_of(row["method"], row["url"])


def key_of(method: str, url: str) -> bytes:
    """Return the key of a request: a hash of its method and of its URL in the form in which it is sent."""
    from hurtle._engine import identify

    (sent,) = identify([url])
    # The first line of a plain GET; credentials in the URL come after it. An invalid URL stays as it is.
    line = url.encode("utf-8", "replace") if isinstance(sent, str) else sent[2].partition(b"\n")[0][4:]
    return blake2b(b"%s %s" % (method.encode("utf-8", "replace"), line), digest_size=KEY_BYTES).digest()
