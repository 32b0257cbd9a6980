"""A run in parts: each is a complete file, committed by one line of the journal."""

from collections.abc import Iterable
from pathlib import Path
from time import monotonic
from typing import Protocol

from hurtle.errors import SinkError
from hurtle.formats import Format
from hurtle.formats.writer import Writer
from hurtle.outputs import Identity, Resume
from hurtle.outputs.answers import AnswerLog
from hurtle.positions import Done
from hurtle.rows import Rows
from hurtle.sinks.base import PART_FILE_BYTES, Sink
from hurtle.stops import stops_held

PART_ROWS = 10_000
PART_BYTES = 64 << 20
PART_SECONDS = 30.0
"""A part is closed at this many rows or bytes, or after this long. A crash costs at most one part."""


class Folder(Protocol):
    """A run in parts, on this disk or elsewhere: its record, how much of it is done, and its parts."""

    @property
    def ledger(self) -> Path | None:
        """The record of requests that must not be sent twice; see `Sink.ledger_path`."""

    @property
    def answers(self) -> Path | None:
        """Where to log the answers to such requests until they are committed; None if `ledger` is."""

    @property
    def ledger_elsewhere(self) -> str | None:
        """Where the ledger is, if it cannot be read here; see `Sink.ledger_elsewhere`."""

    @property
    def whereabouts(self) -> str:
        """What to call it in hints."""

    def begin(self, identity: Identity, resume: Resume) -> Done:
        """Begin a run, or resume the existing one. Raises as `Sink.begin`."""

    def take_ledger(self) -> None:
        """Begin a ledger in `ledger`. Raises as `Sink.take_ledger`."""

    def open_bodies(self) -> Path | None:
        """Return the folder where the engine writes large bodies, until `end` or `release`; None: nowhere.

        Raises:
            ConfigError: It cannot be created.
        """

    def new_part(self, extension: str) -> Path:
        """Return where on this disk to write the next part; there is no such file yet."""

    def commit(self, part: Path, rows: int, done: Iterable[int], failed: Iterable[int] = ()) -> None:
        """Put a complete part in place, if it is not there yet, and record it.

        Args:
            part: Where it was written.
            rows: How many rows it has.
            done: The positions of its rows.
            failed: The positions of the rows that are not ok.

        Raises:
            SinkError, JournalError: That failed, so the part does not belong to the run.
        """

    def end(self, format: Format) -> None:  # noqa: A002 - the public name
        """Complete a run that has every row committed, and let other runs use the folder.

        Raises:
            SinkError, JournalError: The run could not be completed.
        """

    def release(self) -> bool:
        """Let other runs use the folder. Return whether it holds a run that can be resumed."""


class PartsSink(Sink):
    """Collects rows into parts.

    Args:
        folder: Where the parts go.
        format: The format of the parts.
    """

    def __init__(self, folder: Folder, format: Format) -> None:  # noqa: A002 - the public name
        self.records_exchanges = format.records_exchanges
        self.hashes_bodies = format.hashes_bodies
        self._folder = folder
        self._format = format
        self._begun = False
        self._writer: Writer | None = None
        self._answers: AnswerLog | None = None
        self._path = Path()
        self._indexes: list[int] = []
        self._failures: list[int] = []
        self._bytes = 0
        self._file_bytes = 0
        self._due = 0.0
        self._body_folder: Path | None = None

    @property
    def ledger_path(self) -> Path | None:
        """In the run's folder; if that is elsewhere, on this machine."""
        return self._folder.ledger

    @property
    def ledger_elsewhere(self) -> str | None:
        """As the folder says."""
        return self._folder.ledger_elsewhere

    @property
    def body_folder(self) -> Path | None:
        """In the folder of all bodies."""
        return self._body_folder

    def take_ledger(self) -> None:
        """Begin a ledger here."""
        self._folder.take_ledger()

    def begin(self, identity: Identity, resume: Resume) -> Done:
        """Begin or resume the run in its folder."""
        self._format.require()
        done = self._folder.begin(identity, resume)
        self._begun = True
        self._body_folder = self._folder.open_bodies()
        return done

    def write(self, rows: Rows) -> None:
        """Add rows to the open part; close it when it is full or old."""
        with stops_held():
            if self._writer is None:
                self._path = self._folder.new_part(self._format.extension)
                writer = self._format.writer(str(self._path))
                writer.open()
                self._writer, self._due = writer, monotonic() + PART_SECONDS
            is_logged = rows.unrepeatable > 0 and not rows.file_bytes
            if is_logged:
                self._log(rows)
            self._writer.write(rows)
            self._indexes += rows.indexes()
            self._failures += rows.failures()
            self._bytes += rows.nbytes
            self._file_bytes += rows.file_bytes
            is_full = len(self._indexes) >= PART_ROWS or self._bytes >= PART_BYTES
            # A log has no room for files.
            if is_full or self._file_bytes >= PART_FILE_BYTES or (rows.unrepeatable and not is_logged):
                self._commit()
        self.tick()

    def _log(self, rows: Rows) -> None:
        """Log the answers to requests that must not be sent again: they outlive the open part in a crash."""
        if self._answers is None and self._folder.answers is not None:
            self._answers = AnswerLog(self._folder.answers, records_exchanges=self.records_exchanges)
        if self._answers is not None:
            self._answers.append(rows)

    def tick(self) -> None:
        """Close the open part if it is old enough."""
        if self._answers is not None:
            self._answers.tick()
        if self._writer is not None and monotonic() >= self._due:
            with stops_held():
                self._commit()

    def _commit(self) -> None:
        """Publish the open part: complete it, put it in place, read it back, then record it."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        indexes, self._indexes, self._bytes, self._file_bytes = self._indexes, [], 0, 0
        failures, self._failures = self._failures, []
        writer.close()
        found = self._format.count(self._path)
        if found != len(indexes):
            raise SinkError(f"{self._path} has {found} rows when read back, but {len(indexes)} were written")
        self._folder.commit(self._path, len(indexes), indexes, failures)
        if self._answers is not None:
            self._answers.clear()

    def _close_log(self) -> None:
        answers, self._answers = self._answers, None
        if answers is not None:
            answers.close()

    def close(self) -> None:
        """Commit the last part; join the parts if the output is one file."""
        if not self._begun:
            return
        with stops_held():
            self._commit()
            self._close_log()
            self._folder.end(self._format)
            self._begun = False

    def leave(self) -> str | None:
        """Commit the last part and leave the folder as it is."""
        if not self._begun:
            return None
        with stops_held():
            self._begun = False
            try:
                self._commit()
            finally:
                self._close_log()
                can_go_on = self._folder.release()
        return self._folder.whereabouts if can_go_on else None

    def abort(self) -> str | None:
        """Drop the open part."""
        can_go_on = False
        with stops_held():
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.abort()
            self._close_log()
            if self._begun:
                can_go_on = self._folder.release()
                self._begun = False
        return self._folder.whereabouts if can_go_on else None
