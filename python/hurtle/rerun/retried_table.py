"""A retry of a run in a database: newer rows take the place of the old ones.

In the same transaction they leave the list of what is wanted, which says at any time what is still to be
asked for.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from hurtle.errors import ConfigError, SinkError
from hurtle.formats.table import columns_of
from hurtle.outputs.database import Database
from hurtle.outputs.ledger import keep_noted, unsettled
from hurtle.outputs.record import ENDED, RETRY, Identity, Record, Resume, is_under_way
from hurtle.positions import Done
from hurtle.rerun.again import RetrySink, done_of, not_ended, picked, run_not_ended
from hurtle.rows import Rows
from hurtle.runs.run import Part, Run
from hurtle.runs.stored_table import stored_table
from hurtle.sinks.database_sink import DatabaseSink
from hurtle.stops import stops_held

FAILED = "failed"
"""The key in the record of a retry: how many of its rows are not ok."""


class TableRetry(DatabaseSink, RetrySink):
    """Takes the rows of a retry.

    Args:
        database: Where the run is; not open.
        where: The expression that picks the rows.
        restart: Whether to drop what an earlier retry still wanted, and pick anew.
        resend_unknown: Whether to pick also requests that may have been sent.
    """

    def __init__(self, database: Database, where: str, *, restart: bool, resend_unknown: bool) -> None:
        super().__init__(database)
        self.shown = database.shown
        self._where = where
        self._goes_on = False
        self._resumed = 0
        self._failed = 0
        self._resumed_failed = 0
        self._unknown: Collection[int] = ()
        database.require()
        try:
            with stops_held(), self._failing_as(ConfigError, "cannot be used"):
                database.open()
                self._record = self._read_run()
                self.wanted = self._wanted(restart, resend_unknown)
        except BaseException:
            database.close()
            raise

    def _read_run(self) -> Record:
        record = self._database.read_run()
        if record is None:
            raise ConfigError(f"{self.shown} holds no run", option="out")
        if not record.get(ENDED):
            raise run_not_ended(self.shown)
        self._database.columns = columns_of(record)
        return record

    def _wanted(self, restart: bool, resend_unknown: bool) -> Done:
        before = self._record.get(RETRY)
        left = done_of(self._database.wanted()) if isinstance(before, dict) else Done()
        if isinstance(before, dict) and not restart:
            if before["where"] != self._where:
                raise not_ended(self.shown, str(before["where"]))
            self._goes_on, self._resumed = True, int(before["wanted"]) - len(left)
            self._failed = self._resumed_failed = int(before.get(FAILED, 0))
            return left
        ledger, elsewhere = self._database.ledger, self._database.ledger_elsewhere
        if elsewhere is not None and not resend_unknown:
            raise ConfigError(
                f"what an interrupted retry of {self.shown} may have sent is noted {elsewhere};"
                " --resend-unknown (resend_unknown=True) sends it again",
                option="restart",
            )
        if ledger is not None:
            # What may have been sent stays wanted: dropped, it would look as if nobody had ever sent it.
            self._unknown = {index for index in unsettled(ledger, ()) if index in left}
        found = picked(self.run(), self._where, resend_unknown=resend_unknown)
        self.withheld = found.withheld
        return done_of({*found.wanted, *self._unknown})

    @property
    def goes_on(self) -> bool:
        """Whether it goes on with a retry that was interrupted."""
        return self._goes_on

    @property
    def resumed(self) -> int:
        """How many rows of it are committed already."""
        return self._resumed

    @property
    def resumed_failed(self) -> int:
        """How many of those are not ok."""
        return self._resumed_failed

    @property
    def record(self) -> Record:
        """What the run is."""
        return self._record

    def run(self) -> Run:
        """Return the run, read through the connection that is open."""
        table = stored_table(self._database.name, self._opened)
        return Run(self.shown, [Part(table, None)], not is_under_way(self._record))

    @contextmanager
    def _opened(self) -> Iterator[Database]:
        yield self._database

    def begin(self, identity: Identity, resume: Resume) -> Done:
        """Record what is asked for again.

        Returns:
            All other positions, up to the last one that is.
        """
        del identity, resume
        if not self._goes_on:
            with stops_held(), self._failing_as(SinkError, "could not be written"):
                self._record |= self._database.begin_ledger()
                if self._database.ledger is not None:
                    # What was noted before has its rows by now, but for this.
                    keep_noted(self._database.ledger, self._unknown)
                self._database.want(list(self.wanted))
                self._record_retry(wanted=len(self.wanted))
                self._database.commit()
            self._goes_on = True
        self._begun = True
        return self.others()

    def _insert(self, rows: Rows) -> None:
        super()._insert(rows)
        self._database.unwant(rows.indexes())
        if failures := len(rows.failures()):
            self._failed += failures
            self._record_retry()

    def _record_retry(self, **changed: int) -> None:
        """Record the retry, in the open transaction, with how many of its rows are not ok."""
        before = self._record.get(RETRY)
        retry = before if isinstance(before, dict) else {}
        self._record |= {RETRY: retry | {"where": self._where, FAILED: self._failed} | changed}
        self._database.write_record(self._record)

    def _record_end(self) -> None:
        """Record in the last transaction that nothing is wanted any more."""
        self._database.forget_wanted()
        self._record = {name: value for name, value in self._record.items() if name != RETRY}
        self._database.write_record(self._record)

    def release(self) -> None:
        """Let others use the database, as it was found; nothing was sent."""
        if not self._goes_on:
            with suppress(OSError, self._database.error):
                self._database.complete()
        self._end()
