"""Writes rows to a database, and commits them in bundles."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import cast

from hurtle.errors import ConfigError, SinkError
from hurtle.formats.bodies import remove_bodies
from hurtle.formats.table import APART, columns_of, has_bodies_apart
from hurtle.outputs.answers import UNREPEATABLE_SECONDS, AnswerLog, logged_rows
from hurtle.outputs.body_bundles import BodyBundles
from hurtle.outputs.database import Database
from hurtle.outputs.layout import bodies_beside
from hurtle.outputs.record import (
    ENDED,
    RERUN,
    Identity,
    Record,
    Resume,
    gone_on_with,
    is_under_way,
    record_of,
    refuse_another,
    resumable,
)
from hurtle.positions import Done
from hurtle.rows import Rows
from hurtle.sinks.base import PART_FILE_BYTES, Sink
from hurtle.stops import stops_held

COMMIT_BYTES = 64 << 20
"""A transaction ends at this many bytes of rows, however few rows they are."""


class DatabaseSink(Sink):
    """Inserts rows, and commits them in bundles.

    Args:
        database: The database; not open yet.
        bodies_apart: Whether bodies are files in a folder next to that of the database.

    Attributes:
        database: The database.
        record: The record of the run; empty before it has begun.
        begun: Whether the run has begun and not ended.
    """

    def __init__(self, database: Database, *, bodies_apart: bool = False) -> None:
        self.database = database
        self._format = database.name + (APART if bodies_apart else "")
        self._bodies: BodyBundles | None = None
        self.begun = False
        self.record: Record = {}
        self._rows = 0
        self._bytes = 0
        self._file_bytes = 0
        self._due = 0.0
        self._committed = 0.0
        self._answers: AnswerLog | None = None

    @property
    def body_folder(self) -> Path | None:
        """In the folder of all bodies."""
        return None if self._bodies is None else self._bodies.coming

    @property
    def ledger_path(self) -> Path | None:
        """Next to the database's file; for a server, in this machine's state of the run."""
        return self.database.ledger

    @property
    def ledger_elsewhere(self) -> str | None:
        """As the run's record says."""
        return self.database.ledger_elsewhere

    def take_ledger(self) -> None:
        """Begin a ledger here, and change the run's record."""
        with stops_held(), self.failing_as(SinkError, "could not be written"):
            self._change_record(self.database.begin_ledger())

    def _change_record(self, changed: Record) -> None:
        self.record = self.record | changed
        self.database.write_record(self.record)
        self.database.commit()

    def begin(self, identity: Identity, resume: Resume) -> Done:
        """Create the tables, or resume the run that they hold."""
        self.database.require()
        try:
            with stops_held(), self.failing_as(ConfigError, "cannot be used"):
                self.database.open()
                done = self._begin(record_of(identity, self._format), resume)
                if self._bodies is not None:
                    self._bodies.open()
        except BaseException:
            self.database.close()
            raise
        self.begun = True
        return done

    def _begin(self, now: Record, resume: Resume) -> Done:
        self.database.columns = columns_of(now)
        before = resumable(self.database.read_run, resume)
        if before is None:
            self.record = self.database.begin_run(now)
            if self.database.file is not None:
                remove_bodies(bodies_beside(self.database.file))
            self.find_bodies()
            return Done()
        refuse_another(before, now, resume, self.database.shown)
        self.record = before
        self.find_bodies()
        self.add_columns()
        done, has_rerun = self.database.done(), RERUN in before
        rows = logged_rows(self.database.answers, lambda index: index not in done)
        if len(rows):
            self.insert_apart(cast("Rows", rows))
            self.commit_all()
            done = self.database.done()
        changed = gone_on_with(before, now, done, resume, self.database.shown, has_rerun=has_rerun)
        if changed.get(ENDED) is False or self.database.lacks_ledger(before):
            changed |= self.database.begin_ledger()
        if changed:
            self._change_record(changed)
        return done

    def find_bodies(self) -> None:
        """Find the folder of the bodies, and remove those of a transaction that was not committed."""
        if has_bodies_apart(self.record) and self.database.file is not None:
            self._bodies = BodyBundles(bodies_beside(self.database.file), self.record)
            self._bodies.recover()

    def add_columns(self) -> None:
        """Prepare the table of a run that an earlier version began for rows of this version."""
        if self.database.add_columns():
            self.database.commit()

    def write(self, rows: Rows) -> None:
        """Insert rows; commit the transaction when it is full or old."""
        if not self.begun:
            raise ValueError("the run has not begun")
        with stops_held():
            if not self._rows:
                self._due = monotonic() + self.database.commit_seconds
            is_kept = rows.unrepeatable > 0 and not rows.file_bytes
            try:
                if is_kept:
                    self._keep(rows)
                with self.failing_as(SinkError, "could not be written"):
                    self.insert_apart(rows)
            except BaseException:
                self._forget()
                raise
            self._rows += len(rows)
            self._bytes += rows.nbytes
            self._file_bytes += rows.file_bytes
            is_full = self._rows >= self.database.commit_rows or self._bytes >= COMMIT_BYTES
            # A log has no room for files.
            if is_full or self._file_bytes >= PART_FILE_BYTES or (rows.unrepeatable and not is_kept):
                self._commit()
        self.tick()

    def _keep(self, rows: Rows) -> None:
        """Log the answers to requests that must not be sent again, or have them committed soon."""
        if self.database.answers is None:
            self._due = min(self._due, self._committed + UNREPEATABLE_SECONDS)
            return
        if self._answers is None:
            self._answers = AnswerLog(self.database.answers, records_exchanges=False)
        self._answers.append(rows)

    def insert_apart(self, rows: Rows) -> None:
        """Write bodies to files if they are apart, then add the rows to the open transaction."""
        self.insert(rows if self._bodies is None else self._bodies.apart(rows))

    def insert(self, rows: Rows) -> None:
        """Add rows to the open transaction."""
        self.database.insert(rows)

    def commit_all(self) -> None:
        """Put the bodies in place, then commit the transaction, which records that they are there."""
        if self._bodies is not None and (changed := self._bodies.publish()):
            self.record = self.record | changed
            self.database.write_record(self.record)
        self.database.commit()
        if self._bodies is not None:
            self._bodies.settle()

    def tick(self) -> None:
        """Commit the transaction if it is old enough."""
        if self._answers is not None:
            self._answers.tick()
        if self._rows and monotonic() >= self._due:
            with stops_held():
                self._commit()

    def _commit(self, *, at_the_end: bool = False) -> None:
        if not (self._rows or at_the_end):
            return
        try:
            with self.failing_as(SinkError, "could not be written"):
                if at_the_end:
                    self.record_end()
                self.commit_all()
        except BaseException:
            self._forget()
            raise
        if self._answers is not None:
            self._answers.clear()
        self._rows, self._bytes, self._file_bytes = 0, 0, 0
        self._committed = monotonic()

    def record_end(self) -> None:
        """Record in the last transaction that all rows are there."""
        self.record = self.record | {ENDED: True}
        self.database.write_record(self.record)

    def _forget(self) -> None:
        """Drop the open transaction: nothing of a failed bundle stays."""
        self._rows, self._bytes, self._file_bytes = 0, 0, 0
        with suppress(OSError, self.database.error):
            self.database.rollback()
        if self._bodies is not None:
            self._bodies.drop()

    def close(self) -> None:
        """Commit the last rows and disconnect."""
        if not self.begun:
            return
        with stops_held():
            self._commit(at_the_end=True)
            with suppress(OSError, self.database.error):
                self.database.complete()
            if not is_under_way(self.record):
                with suppress(OSError):
                    self.database.drop_ledger()
            self.disconnect()

    def leave(self) -> str | None:
        """Commit the rows so far and disconnect."""
        if not self.begun:
            return None
        with stops_held():
            try:
                self._commit()
            finally:
                self.disconnect()
        return self.database.shown

    def abort(self) -> str | None:
        """Drop the open transaction and disconnect."""
        if not self.begun:
            return None
        with stops_held():
            self._forget()
            self.disconnect()
        return self.database.shown

    def disconnect(self) -> None:
        """Let other runs use the database; nothing more is written."""
        self.begun = False
        answers, self._answers = self._answers, None
        if answers is not None:
            answers.close()
        if self._bodies is not None:
            self._bodies.close()
        with suppress(OSError, self.database.error):
            self.database.close()

    @contextmanager
    def failing_as(self, kind: type[ConfigError | SinkError], words: str) -> Iterator[None]:
        """Translate the exceptions of the database and its driver.

        Args:
            kind: The exception to raise instead.
            words: What the message says about the output.
        """
        try:
            yield
        except (OSError, self.database.error) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            message = f"{self.database.shown} {words}: {reason or self.database.words(error)}"
            raise kind(message) from error
