"""Rows to a database: inserted, and committed in bundles."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

from hurtle.errors import ConfigError, JournalError, SinkError
from hurtle.formats.table import columns_of
from hurtle.outputs.database import Database
from hurtle.outputs.record import (
    ENDED,
    RETRY,
    Identity,
    OtherVersionError,
    Record,
    Resume,
    gone_on_with,
    is_under_way,
    record_of,
    refuse_another,
)
from hurtle.positions import Done
from hurtle.rows import Rows
from hurtle.sinks.base import UNREPEATABLE_SECONDS, Sink
from hurtle.stops import stops_held

COMMIT_BYTES = 64 << 20
"""A transaction ends at so many bytes of rows, however few they are."""


class DatabaseSink(Sink):
    """Inserts rows, and commits them in bundles.

    Args:
        database: Where to; not open yet.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._begun = False
        self._record: Record = {}
        self._rows = 0
        self._bytes = 0
        self._due = 0.0

    @property
    def ledger_path(self) -> Path | None:
        """Beside the database's file; of one on a server, in this machine's state of the run."""
        return self._database.ledger

    @property
    def ledger_elsewhere(self) -> str | None:
        """As the run's record says."""
        return self._database.ledger_elsewhere

    def take_ledger(self) -> None:
        """Begin a ledger here, and change the run's record."""
        with stops_held(), self._failing_as(SinkError, "could not be written"):
            self._change_record(self._database.begin_ledger())

    def _change_record(self, changed: Record) -> None:
        self._record = self._record | changed
        self._database.write_record(self._record)
        self._database.commit()

    def begin(self, identity: Identity, resume: Resume) -> Done:
        """Make the tables, or go on with the run that they hold."""
        self._database.require()
        try:
            with stops_held(), self._failing_as(ConfigError, "cannot be used"):
                self._database.open()
                done = self._begin(record_of(identity, self._database.name), resume)
        except BaseException:
            self._database.close()
            raise
        self._begun = True
        return done

    def _begin(self, now: Record, resume: Resume) -> Done:
        self._database.columns = columns_of(now)
        try:
            before = self._database.read_run()
        except OtherVersionError:
            if resume != "restart":
                raise
            before = None
        except json.JSONDecodeError as error:
            raise JournalError(f"{self._database.shown} is damaged: {error}") from error
        if before is None or resume == "restart":
            self._record = self._database.begin_run(now)
            return Done()
        refuse_another(before, now, resume, self._database.shown)
        self._record = before
        done, is_retried = self._database.done(), RETRY in before
        changed = gone_on_with(before, now, done, resume, self._database.shown, is_retried=is_retried)
        if changed.get(ENDED) is False or self._database.lacks_ledger(before):
            changed |= self._database.begin_ledger()
        if changed:
            self._change_record(changed)
        return done

    def write(self, rows: Rows) -> None:
        """Insert rows; end the transaction when it is full or old."""
        if not self._begun:
            raise ValueError("the run has not begun")
        with stops_held():
            if not self._rows:
                self._due = monotonic() + self._database.commit_seconds
            if rows.unrepeatable:
                self._due = min(self._due, monotonic() + UNREPEATABLE_SECONDS)
            try:
                with self._failing_as(SinkError, "could not be written"):
                    self._insert(rows)
            except BaseException:
                self._forget()
                raise
            self._rows += len(rows)
            self._bytes += rows.nbytes
            if self._rows >= self._database.commit_rows or self._bytes >= COMMIT_BYTES:
                self._commit()
        self.tick()

    def _insert(self, rows: Rows) -> None:
        self._database.insert(rows)

    def tick(self) -> None:
        """End the transaction when it has become old."""
        if self._rows and monotonic() >= self._due:
            with stops_held():
                self._commit()

    def _commit(self, *, at_the_end: bool = False) -> None:
        if not (self._rows or at_the_end):
            return
        try:
            with self._failing_as(SinkError, "could not be written"):
                if at_the_end:
                    self._record_end()
                self._database.commit()
        except BaseException:
            self._forget()
            raise
        self._rows, self._bytes = 0, 0

    def _record_end(self) -> None:
        """Record in the last transaction that every row is there."""
        self._record = self._record | {ENDED: True}
        self._database.write_record(self._record)

    def _forget(self) -> None:
        """Drop the open transaction: of a bundle that failed nothing stays."""
        self._rows, self._bytes = 0, 0
        with suppress(OSError, self._database.error):
            self._database.rollback()

    def close(self) -> None:
        """Commit the last rows and disconnect."""
        if not self._begun:
            return
        with stops_held():
            self._commit(at_the_end=True)
            with suppress(OSError, self._database.error):
                self._database.complete()
            if not is_under_way(self._record):
                with suppress(OSError):
                    self._database.drop_ledger()
            self._end()

    def leave(self) -> str | None:
        """Commit what has come and disconnect."""
        if not self._begun:
            return None
        with stops_held():
            try:
                self._commit()
            finally:
                self._end()
        return self._database.shown

    def abort(self) -> str | None:
        """Drop the open transaction and disconnect."""
        if not self._begun:
            return None
        with stops_held():
            self._forget()
            self._end()
        return self._database.shown

    def _end(self) -> None:
        self._begun = False
        with suppress(OSError, self._database.error):
            self._database.close()

    @contextmanager
    def _failing_as(self, kind: type[ConfigError | SinkError], words: str) -> Iterator[None]:
        try:
            yield
        except (OSError, self._database.error) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            message = f"{self._database.shown} {words}: {reason or self._database.words(error)}"
            raise kind(message) from error
