"""What is done of a run: an append-only file in which every line is a commit.

A line is written and fsynced after the part that it names is in place. A part that no line names does not
count, nor does a last line that a crash cut off.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from hurtle.disk import sha256_of, sync_folder
from hurtle.errors import JournalError
from hurtle.positions import Span, spans_of


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
    done: tuple[Span, ...]
    failed: tuple[Span, ...]

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Self:
        """Read an entry.

        Raises:
            KeyError, TypeError, ValueError: It is not an entry of a part.
        """
        return cls(
            name=str(entry["part"]),
            rows=int(entry["rows"]),
            size=int(entry["bytes"]),
            sha256=str(entry["sha256"]),
            done=_spans(entry["done"]),
            # Older runs did not record which rows failed.
            failed=_spans(entry.get("failed", ())),
        )

    @classmethod
    def of_file(cls, path: Path, rows: int, done: Iterable[int], failed: Iterable[int]) -> Self:
        """Return a part that is on this disk, but not yet in a journal.

        Raises:
            OSError: The part cannot be read back.
        """
        spans = tuple(spans_of(done)), tuple(spans_of(failed))
        return cls(path.name, rows, path.stat().st_size, sha256_of(path), *spans)

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
            "done": self.done,
            "failed": self.failed,
        }


def _spans(lists: Iterable[Iterable[Any]]) -> tuple[Span, ...]:
    return tuple((int(first), int(last)) for first, last in lists)


class Journal:
    """Lines of JSON, each fsynced before `append` returns.

    Args:
        path: The file; created by the first `append`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        self._broken = False

    def read(self) -> list[dict[str, Any]]:
        """Return the entries; a last line without a line end does not count.

        Raises:
            JournalError: A complete line is not JSON, or the file cannot be read.
        """
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise JournalError(f"{self._path} cannot be read: {error.strerror or error}") from error
        try:
            entries = [json.loads(line) for line in lines[:-1]]
        except ValueError as error:
            raise JournalError(f"{self._path} is damaged: {error}") from error
        for entry in entries:
            if not isinstance(entry, dict):
                raise JournalError(f"{self._path} is damaged: {entry!r:.100} is not an entry")
        return entries

    def parts(self) -> list[Committed]:
        """Return the entries as parts of a run.

        Raises:
            JournalError: As `read`; or an entry is not a part.
        """
        parts = []
        for entry in self.read():
            try:
                parts.append(Committed.of(entry))
            except (KeyError, TypeError, ValueError) as error:
                raise JournalError(f"{self._path} is damaged: {entry!r:.200}") from error
        return parts

    def append(self, entry: Mapping[str, object]) -> None:
        """Commit an entry.

        Raises:
            JournalError: It could not be written, so it does not count as done. It is not retried: after a
                failed fsync it is unknown what is on the disk.
        """
        if self._broken:
            raise JournalError(f"{self._path} could not be written earlier: nothing more is committed")
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        try:
            if self._fd is None:
                self._fd = self._opened()
            written = os.write(self._fd, line)
            if written < len(line):
                raise OSError(None, f"only {written} of {len(line)} bytes were written")
            os.fsync(self._fd)
        except OSError as error:
            # For good: the next line would follow a torn one, and its fsync might claim to have saved both.
            self._broken = True
            raise JournalError(f"{self._path} could not be written: {error.strerror or error}") from error

    def _opened(self) -> int:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            content = self._path.read_bytes()
            # A line that a crash cut off must not become the beginning of the next one.
            os.ftruncate(fd, content.rfind(b"\n") + 1)
            os.fsync(fd)
            sync_folder(self._path.parent)
        except OSError:
            os.close(fd)
            raise
        return fd

    def close(self) -> None:
        """Close the file. Idempotent."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
