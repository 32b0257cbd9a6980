"""A database that is one file, with its lock and its ledger next to it."""

import os
from collections.abc import Iterable
from pathlib import Path

from hurtle.disk import sync_folder
from hurtle.errors import ConfigError
from hurtle.outputs.database import Database, foreign_table
from hurtle.outputs.lock import Lock
from hurtle.outputs.record import ENDED, Record, is_under_way

LEDGER = "ledger"
"""This key of a run's record is true once a ledger was created: if it is missing then, it was lost."""


class DatabaseFile(Database):
    """What databases that are files have in common.

    Args:
        path: The file.
    """

    def __init__(self, path: str) -> None:
        self.shown = path
        self._path = self.file = Path(path).resolve()
        self._lock = Lock(self._path.with_name(self._path.name + ".lock"), path)
        self._beside = self._path.with_name(self._path.name + ".ledger")
        self.ledger = self._beside

    def refuse_foreign(self, columns: Iterable[tuple[str, str]]) -> None:
        """Refuse a file with other tables and without a run; next to a run, other tables are allowed.

        Args:
            columns: Table and column of every column in the file.

        Raises:
            ConfigError: The file has a table that hurtle did not create, and no run.
        """
        if (foreign := foreign_table(columns, others=False)) is not None:
            raise ConfigError(
                f"{self.shown} holds the table {foreign}, not created by hurtle; name another file",
                option="out",
            )

    def find_ledger(self, record: Record) -> None:
        """Find out whether the ledger of the run is here: the database may have been moved without it."""
        is_lost = record.get(LEDGER) is True and is_under_way(record) and not self._beside.exists()
        self.ledger = None if is_lost else self._beside
        place = f"only in {self._beside}, which is missing: put it back"
        self.ledger_elsewhere = place if is_lost else None

    def lacks_ledger(self, record: Record) -> bool:
        """Whether a run has not ended and its record does not mention a ledger."""
        return not record.get(ENDED) and record.get(LEDGER) is not True

    def begin_ledger(self) -> Record:
        """Create an empty ledger if there is none. The answers in the log have their rows."""
        self._drop_answers()
        os.close(os.open(self._beside, os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666))
        sync_folder(self._beside.parent)
        self.ledger, self.ledger_elsewhere = self._beside, None
        return {LEDGER: True}

    def drop_ledger(self) -> None:
        """Remove the log of answers, and then the ledger: a log alone would mean that the ledger was lost."""
        self._drop_answers()
        self._beside.unlink(missing_ok=True)

    def _drop_answers(self) -> None:
        if self.answers is not None:
            self.answers.unlink(missing_ok=True)

    def begin_run(self, record: Record) -> Record:
        """Drop what an earlier run left, its ledger first; create the new ledger after the new tables.

        A crash in between leaves the old run without its ledger, or the new one before it sent anything.
        """
        self.drop_ledger()
        self.make_tables(record)
        sync_folder(self._path.parent)
        record = record | self.begin_ledger()
        self.write_record(record)
        self.commit()
        return record
