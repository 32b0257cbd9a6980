"""A rerun of a run in a database: newer rows replace the old ones.

In the same transaction they leave the list of what is wanted, which says at any time what is still to be
requested.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import cast

from hurtle.errors import ConfigError, SinkError
from hurtle.formats.table import columns_of
from hurtle.outputs.answers import logged_rows
from hurtle.outputs.database import Database
from hurtle.outputs.ledger import keep_noted, unsettled
from hurtle.outputs.record import ENDED, RERUN, Identity, Resume, is_under_way
from hurtle.positions import Done
from hurtle.rerun.base import Picked, RerunSink, all_but, done_of, not_ended, pick, run_not_ended
from hurtle.rows import Rows
from hurtle.runs.run import Part, Run
from hurtle.runs.stored_table import stored_table
from hurtle.sinks.database_sink import DatabaseSink
from hurtle.stops import stops_held

FAILED = "failed"
"""The key in the record of a rerun: how many of its rows are not ok."""


class RerunTableSink(DatabaseSink, RerunSink):
    """Takes the rows of a rerun.

    Args:
        database: Where the run is; not open.
        where: The expression that picks the rows.
        restart: Whether to drop what an earlier rerun still wanted, and pick rows again.
        resend_unknown: Whether to pick also requests that may have been sent.
    """

    def __init__(self, database: Database, where: str, *, restart: bool, resend_unknown: bool) -> None:
        super().__init__(database)
        self.shown = database.shown
        self._where = where
        self._unknown: Collection[int] = ()
        database.require()
        try:
            with stops_held(), self.failing_as(ConfigError, "cannot be used"):
                database.open()
                self._read_record()
                self._commit_answers()
                self.picked = self._pick(restart, resend_unknown)
        except BaseException:
            database.close()
            raise
        self._is_recorded = self.picked.is_resumed
        self._failed = self.picked.resumed_failed

    def _read_record(self) -> None:
        record = self.database.read_run()
        if record is None:
            raise ConfigError(f"{self.shown} holds no run", option="out")
        if not record.get(ENDED):
            raise run_not_ended(self.shown)
        self.database.columns = columns_of(record)
        self.record = record
        self.find_bodies()

    def _commit_answers(self) -> None:
        """Commit the answers that a crash of the rerun left in the log."""
        before = self.record.get(RERUN)
        if not isinstance(before, dict):
            return
        wanted = done_of(self.database.wanted())
        rows = logged_rows(self.database.answers, lambda index: index in wanted)
        if len(rows):
            self._failed = int(before.get(FAILED, 0))
            self.add_columns()
            self.insert_apart(cast("Rows", rows))
            self.commit_all()

    def _pick(self, restart: bool, resend_unknown: bool) -> Picked:
        before = self.record.get(RERUN)
        left = done_of(self.database.wanted()) if isinstance(before, dict) else Done()
        if isinstance(before, dict) and not restart:
            if before["where"] != self._where:
                raise not_ended(self.shown, str(before["where"]))
            resumed, failed = int(before["wanted"]) - len(left), int(before.get(FAILED, 0))
            return Picked(wanted=left, is_resumed=True, resumed=resumed, resumed_failed=failed)
        ledger, elsewhere = self.database.ledger, self.database.ledger_elsewhere
        if elsewhere is not None and not resend_unknown:
            raise ConfigError(
                f"what an interrupted retry of {self.shown} may have sent is noted {elsewhere};"
                " --resend-unknown (resend_unknown=True) sends it again",
                option="restart",
            )
        if ledger is not None:
            # What may have been sent stays wanted: dropped, it would look as if it had never been sent.
            self._unknown = {index for index in unsettled(ledger, ()) if index in left}
        found = pick(self.run(), self._where, resend_unknown=resend_unknown)
        return Picked(wanted=done_of({*found.wanted, *self._unknown}), withheld=found.withheld)

    def run(self) -> Run:
        """Return the run, read through the connection that is open."""
        table = stored_table(self.database, self._opened)
        return Run(self.shown, [Part(table, None)], not is_under_way(self.record))

    @contextmanager
    def _opened(self) -> Iterator[Database]:
        yield self.database

    def begin(self, identity: Identity, resume: Resume) -> Done:
        """Record what is requested again.

        Returns:
            All other positions, up to the last one that is.
        """
        del identity, resume
        self.begun = True
        with stops_held(), self.failing_as(SinkError, "could not be written"):
            self.add_columns()
            if not self._is_recorded:
                self._record_begin()
        self._is_recorded = True
        return all_but(self.picked.wanted)

    def _record_begin(self) -> None:
        self.record |= self.database.begin_ledger()
        if self.database.ledger is not None:
            # All that was noted before has its row by now, except what is unknown.
            keep_noted(self.database.ledger, self._unknown)
        self.database.want(list(self.picked.wanted))
        self._record_rerun(where=self._where, wanted=len(self.picked.wanted))
        self.database.commit()

    def insert(self, rows: Rows) -> None:
        """Replace rows in the open transaction, which are not wanted any more then."""
        super().insert(rows)
        self.database.unwant(rows.indexes())
        if failures := len(rows.failures()):
            self._failed += failures
            self._record_rerun()

    def _record_rerun(self, **changed: int | str) -> None:
        """Record the rerun, in the open transaction, with how many of its rows are not ok."""
        before = self.record.get(RERUN)
        rerun = before if isinstance(before, dict) else {}
        self.record |= {RERUN: rerun | {FAILED: self._failed} | changed}
        self.database.write_record(self.record)

    def record_end(self) -> None:
        """Record in the last transaction that nothing is wanted any more."""
        self.database.forget_wanted()
        self.record = {name: value for name, value in self.record.items() if name != RERUN}
        self.database.write_record(self.record)

    def release(self) -> None:
        """Let others use the database, as it was found; nothing was sent."""
        if not self._is_recorded:
            with suppress(OSError, self.database.error):
                self.database.complete()
        self.disconnect()
