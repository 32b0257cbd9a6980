"""What is done of a run: an append-only file in which every line is a commit.

A line is written and fsynced after the part that it names is in place. A part that no line names does not
count, nor does a last line that a crash cut off.

Each line ends with a checksum of itself and of the line before. It shows a line that changed, was doubled or
is gone. Lines of older versions have none.
"""

import json
import os
import re
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import merge
from itertools import pairwise
from pathlib import Path
from typing import Any, Self
from zlib import crc32

from hurtle.disk import sha256_of, sync_folder
from hurtle.errors import JournalError
from hurtle.positions import Span, Spans, spans_of

_SUM = re.compile(rb',"sum":"([0-9a-f]{8})"\}\Z')


def sealed(entry: Mapping[str, object], seed: int) -> tuple[bytes, int]:
    """Return an entry as JSON with its checksum, and the checksum (CRC-32).

    Args:
        entry: The entry; not empty.
        seed: What the checksum covers besides the entry: the checksum of the line before, or the number of an
            object.
    """
    text = json.dumps(entry, separators=(",", ":")).encode()
    found = crc32(text, seed)
    return b'%b,"sum":"%08x"}' % (text[:-1], found), found


def unsealed(text: bytes, seed: int) -> tuple[dict[str, Any], int | None]:
    """Return an entry, and its checksum if it has one.

    Args:
        text: The JSON of the entry, without a line end.
        seed: See `sealed`.

    Raises:
        ValueError: The checksum does not match, or it is not the JSON of an entry.
    """
    try:
        entry = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"{text!r:.100} is nested without end") from error
    if not isinstance(entry, dict):
        raise ValueError(f"{entry!r:.100} is not an entry")
    if (end := _SUM.search(text)) is None:
        if "sum" in entry:
            raise ValueError(f"the checksum of {text!r:.200} has no checksum's form")
        return entry, None
    found = crc32(text[: end.start()] + b"}", seed)
    if found != int(end[1], 16):
        raise ValueError(f"the checksum of {text!r:.200} does not match")
    del entry["sum"]
    return entry, found


@dataclass(frozen=True, slots=True)
class Committed:
    """A part of a run, as recorded in the journal.

    Attributes:
        name: The name of the file or object.
        rows: How many rows it has.
        size: Its size in bytes.
        sha256: The hash of its bytes, in hexadecimal digits.
        done: The positions of its rows.
        failed: The positions of the rows that are not ok.
    """

    name: str
    rows: int
    size: int
    sha256: str
    done: Spans
    failed: Spans

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Self:
        """Read an entry.

        Raises:
            KeyError, TypeError, ValueError: It is not an entry of a part, or its positions are not those of
                its rows.
        """
        part = cls(
            name=str(entry["part"]),
            rows=_whole(entry["rows"]),
            size=_whole(entry["bytes"]),
            sha256=str(entry["sha256"]),
            done=_spans(entry["done"]),
            # Older runs did not record which rows failed.
            failed=_spans(entry.get("failed", ())),
        )
        if _length(part.done) != part.rows:
            raise ValueError(f"{part.name} has {part.rows} rows for {_length(part.done)} positions")
        if not _are_within(part.failed, part.done):
            raise ValueError(f"{part.name} has failed rows that are not among its rows")
        return part

    @classmethod
    def of_file(cls, path: Path, rows: int, done: Iterable[int], failed: Iterable[int]) -> Self:
        """Return a part that is on this disk, but not yet in a journal.

        Raises:
            OSError: The part cannot be read back.
        """
        return cls(path.name, rows, path.stat().st_size, sha256_of(path), spans_of(done), spans_of(failed))

    def check(self, folder: Path) -> None:
        """Check that the part is in a folder on this disk and has the recorded size.

        Raises:
            JournalError: The part is gone, or has another size.
        """
        path = folder / self.name
        try:
            found = path.stat().st_size
        except FileNotFoundError:
            found = None
        self.check_size(found, str(path))

    def check_size(self, found: int | None, where: str) -> None:
        """Check that the part exists and has the recorded size.

        Args:
            found: Its size in bytes; None: it does not exist.
            where: What to call it in messages.

        Raises:
            JournalError: The part is gone, or has another size.
        """
        if found is None:
            raise JournalError(f"{where} is gone, but the journal lists it")
        if found != self.size:
            raise JournalError(f"{where} has {found} bytes, but the journal says {self.size}")

    @property
    def entry(self) -> dict[str, object]:
        """The part as an entry of the journal."""
        return {
            "part": self.name,
            "rows": self.rows,
            "bytes": self.size,
            "sha256": self.sha256,
            "done": list(self.done),
            "failed": list(self.failed),
        }


def _spans(lists: Iterable[Iterable[Any]]) -> Spans:
    """Return spans.

    Raises:
        TypeError, ValueError: They are none, or not ascending.
    """
    spans = Spans((_whole(first), _whole(last)) for first, last in lists)
    before = -1
    for first, last in spans:
        if not before < first <= last:
            raise ValueError(f"the positions {spans!r:.100} are not ascending")
        before = last
    return spans


def _whole(value: object) -> int:
    """Return a number of rows or bytes, or a position: a damaged line may have any JSON value there."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r:.50} is not a whole number")
    return value


def _are_within(some: Iterable[Span], spans: Spans) -> bool:
    firsts = array("q", (first for first, _ in spans))
    return all((at := bisect_right(firsts, first)) and last <= spans[at - 1][1] for first, last in some)


def _length(spans: Iterable[Span]) -> int:
    return sum(last - first + 1 for first, last in spans)


def refuse_overlap(parts: Iterable[Committed], where: str) -> None:
    """Check that no two parts have the same name or the row of one position.

    Args:
        parts: The parts of a run, without those of its reruns, which replace earlier rows.
        where: What to call the journal in messages.

    Raises:
        JournalError: Two have.
    """
    # Those of one part are in order, so no list of all is needed.
    spans = merge(*map(_named, parts))
    for (_, last, one), (first, _, other) in pairwise(spans):
        if first <= last:
            raise JournalError(f"{where} is damaged: row {first} is in {one} and in {other}")


def _named(part: Committed) -> Iterator[tuple[int, int, str]]:
    return ((first, last, part.name) for first, last in part.done)


class Journal:
    """Lines of JSON, each fsynced before `append` returns.

    Args:
        path: The file; created by the first `append`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        self._broken = False
        self._sum: int | None = None

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the entries; a last line without a line end does not count.

        Raises:
            JournalError: A complete line is damaged, or the file cannot be read.
        """
        self._sum = None
        try:
            with self._path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if line.endswith(b"\n"):
                        yield self._entry(number, line[:-1])
        except FileNotFoundError:
            return
        except OSError as error:
            raise JournalError(f"{self._path} cannot be read: {error.strerror or error}") from error

    def _entry(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            entry, found = unsealed(line, self._sum or 0)
            if found is None and self._sum is not None:
                raise ValueError("it has no checksum, but the line before has one")
        except ValueError as error:
            raise JournalError(f"{self._path} is damaged: line {number}: {error}") from error
        self._sum = found
        return entry

    def parts(self, first_again: int | None = None) -> list[Committed]:
        """Return the entries as parts of a run.

        Args:
            first_again: The first part of a rerun; None: there was none.

        Raises:
            JournalError: As `read`; or an entry is not a part, or two parts have the same row.
        """
        parts = []
        for entry in self.read():
            try:
                parts.append(Committed.of(entry))
            except (KeyError, TypeError, ValueError) as error:
                raise JournalError(f"{self._path} is damaged: {error} ({entry!r:.200})") from error
        refuse_overlap(parts[:first_again], str(self._path))
        return parts

    def append(self, entry: Mapping[str, object]) -> None:
        """Commit an entry.

        Raises:
            JournalError: It could not be written, so it does not count as done. It is not retried: after a
                failed fsync it is unknown what is on the disk. Or a line before it is damaged.
        """
        if self._broken:
            raise JournalError(f"{self._path} could not be written earlier: nothing more is committed")
        try:
            if self._fd is None:
                self._fd = self._opened()
            text, found = sealed(entry, self._sum or 0)
            line = text + b"\n"
            written = os.write(self._fd, line)
            if written < len(line):
                raise OSError(None, f"only {written} of {len(line)} bytes were written")
            os.fsync(self._fd)
            self._sum = found
        except OSError as error:
            # For good: the next line would follow a torn one, and its fsync might claim to have saved both.
            self._broken = True
            raise JournalError(f"{self._path} could not be written: {error.strerror or error}") from error

    def _opened(self) -> int:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            # For the checksum of the last line.
            deque(self.read(), maxlen=0)
            # A line that a crash cut off must not become the beginning of the next one.
            os.ftruncate(fd, self._path.read_bytes().rfind(b"\n") + 1)
            os.fsync(fd)
            sync_folder(self._path.parent)
        except (OSError, JournalError):
            os.close(fd)
            raise
        return fd

    def close(self) -> None:
        """Close the file. Idempotent."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
