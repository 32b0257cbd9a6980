"""The folder of a run: its record, how much of it is done, and its parts."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hurtle.disk import replace_file, sha256_of, sync_folder
from hurtle.errors import ConfigError, JournalError, SinkError
from hurtle.formats import FORMATS, Format
from hurtle.formats.bodies import (
    OLD,
    close_coming,
    merge_bodies,
    move_bodies,
    open_coming,
    recover,
    remove_bodies,
    settle,
)
from hurtle.formats.writer import refuse_unwritable
from hurtle.outputs.answers import ANSWERS, commit_answers
from hurtle.outputs.journal import Committed, Journal
from hurtle.outputs.layout import (
    JOINED,
    JOURNAL,
    LEDGER,
    LOCK,
    bodies_beside,
    bodies_in,
    clear_run,
    drop_run,
    last_number,
    make_folder,
    part_name,
    refuse_foreign_files,
    sweep,
)
from hurtle.outputs.lock import Lock
from hurtle.outputs.record import (
    ENDED,
    RERUN_OF,
    RUN,
    Identity,
    Record,
    Resume,
    difference,
    gone_on_with,
    read_record,
    record_of,
    refuse_another,
    resumable,
)
from hurtle.outputs.reruns import RERUNS, RerunLog
from hurtle.positions import Done, Span

FILE = "file"
"""The key of run.json for the one file that has every row: its size and time, and its positions as in a part.

Written before the file is put in place, and removed with the folder. A crash in between costs no request.
"""


class RunFolder:
    """Begins or resumes a run in a folder, and commits its parts.

    Args:
        path: The folder.
        format: The format of its parts, by name.
        shown: What to call it in messages: the output as the caller wrote it.
        final: The one file that the parts become at the end; None: the output is the folder.
    """

    def __init__(
        self,
        path: Path,
        format: str,  # noqa: A002 - the public name
        shown: str,
        final: Path | None = None,
    ) -> None:
        self.path = path
        self.ledger = path / LEDGER
        self.answers = path / ANSWERS
        self._format = format
        self._shown = shown
        self._bodies = bodies_in(path, format)
        self._final = final
        self._lock = Lock(path / LOCK)
        self._journal = Journal(path / JOURNAL)
        self._record: Record = {}
        self._parts: list[str] = []
        self._sums: dict[str, str] = {}
        self._end = 0
        self._failed: list[Span] = []
        self._next = 1
        self._is_published = False

    @property
    def record(self) -> Record:
        """The record of the run; empty before one has begun or was found."""
        return self._record

    @property
    def ledger_elsewhere(self) -> str | None:
        """None: the ledger is in the folder."""
        return None

    def take_ledger(self) -> None:
        """Do nothing: the ledger is here."""

    @property
    def whereabouts(self) -> str:
        """What to call it in hints."""
        return str(self.path)

    def begin(self, identity: Identity, resume: Resume) -> Done:
        """Create the folder, or find out how much of its run is done.

        Raises:
            ConfigError: See `Sink.begin`.
            JournalError: The journal is damaged.
        """
        with self.opening():
            return self._begin(identity, resume)

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Create the folder, and take its lock. The block then looks for a run in it, or begins one.

        The lock is kept unless the block fails.

        Raises:
            ConfigError: The folder has other files, cannot be written, or another run uses it.
        """
        if self._final is not None:
            refuse_unwritable(self._final)
        try:
            refuse_foreign_files(self.path, self._shown)
            make_folder(self.path)
            self._lock.take()
            try:
                yield
            except BaseException:
                self._lock.release()
                raise
        except OSError as error:
            raise ConfigError(
                f"{self._shown} cannot be written: {error.strerror or error}", option="out"
            ) from error

    def _begin(self, identity: Identity, resume: Resume) -> Done:
        now = record_of(identity, self._format)
        before = resumable(self.read_record, resume)
        if before is None or self._is_over(before, now):
            self.drop()
            self.write_record(now)
            return Done()
        if RERUN_OF in before:
            raise ConfigError(
                f"a retry of {self._shown} has not ended: resume it with hurtle retry, or drop it with"
                " --restart (restart=True)",
                option="out",
            )
        refuse_another(before, now, resume, self._shown)
        if (file := self._published(before)) is None:
            done = self.recover(before)
            commit_answers(self.answers, self, self.rows_format, done)
            has_rerun = RerunLog(self.path).read().open is not None
            changed = gone_on_with(before, now, done, resume, self._shown, has_rerun=has_rerun)
            if changed:
                self.write_record(before | changed)
            return done
        self._record, self._is_published = before, True
        return file

    def _is_over(self, before: Record, now: Record) -> bool:
        """Whether a run had become its file and cannot be resumed: it is another run, or its file is gone."""
        if FILE not in before:
            return False
        if self._published(before) is None:
            # The journal is removed first: if it exists, so do all parts, and the file was not in place yet.
            return not (self.path / JOURNAL).exists()
        return difference(before, now) is not None

    def _published(self, record: Record) -> Done | None:
        """Return the positions in the one file that a run has become; None: the file is not in place."""
        file = record.get(FILE)
        if self._final is None or not isinstance(file, dict):
            return None
        with suppress(FileNotFoundError):
            if file | _marks_of(self._final) == file:
                done = Done()
                done.add_spans(file["done"], file["failed"])
                return done
        return None

    def read_record(self) -> Record | None:
        """Return the record of the run in the folder; None: there is none. Raises as `record.read_record`."""
        return read_record(self.path, self._shown)

    def write_record(self, record: Record) -> None:
        """Write the record of the run, before the first request: it is there complete, or not at all.

        Raises:
            OSError: The record could not be written.
        """
        replace_file(self.path / RUN, json.dumps(record, indent=1, sort_keys=True).encode() + b"\n")
        self._record = record

    def recover(self, record: Record) -> Done:
        """Continue the run in the folder: read its journal, and remove what a crash left uncommitted.

        Args:
            record: The record of the run.

        Returns:
            The positions whose rows are committed.

        Raises:
            JournalError: The journal is damaged, or a part is gone.
        """
        self._record = record
        done = Done()
        for part in self.committed():
            part.check(self.path)
            self._sums[part.name] = part.sha256
            self._add(part)
            done.add_spans(part.done, part.failed)
        self._next = last_number(self._parts) + 1
        sweep(self.path, {JOURNAL, RERUNS, LEDGER, ANSWERS, *self._parts})
        if self._bodies is not None:
            recover(self._bodies, self._parts)
        return done

    def committed(self) -> list[Committed]:
        """Return the committed parts, in order.

        Raises:
            JournalError: The journal is damaged.
        """
        return self._journal.parts(RerunLog(self.path).read().first_after)

    def _add(self, part: Committed) -> None:
        self._parts.append(part.name)
        self._end = max(self._end, part.done[-1][1] + 1 if part.done else 0)
        self._failed += part.failed

    def drop(self) -> None:
        """Drop the run, if there is one, or the rest of a run after a crash while it was dropped.

        Raises:
            OSError: Something could not be removed.
        """
        drop_run(self.path)

    def open_bodies(self) -> Path | None:
        """Return the folder where the engine writes large bodies; None: the bodies are in the parts.

        Raises:
            ConfigError: It cannot be created.
        """
        try:
            return None if self._bodies is None else open_coming(self._bodies)
        except OSError as error:
            raise ConfigError(
                f"{self._bodies} cannot be written: {error.strerror or error}", option="out"
            ) from error

    def settle_bodies(self) -> None:
        """Keep the bodies of a part: it is recorded. Never raises."""
        if self._bodies is not None:
            settle(self._bodies)

    def close_bodies(self) -> None:
        """Remove the folder where the engine writes. Never raises."""
        if self._bodies is not None:
            with suppress(OSError):
                close_coming(self._bodies)
                self._bodies.rmdir()  # unless there are bodies

    def new_part(self, extension: str) -> Path:
        """Return the path of the next part; there is no such file yet."""
        path = self.path / part_name(self._next, extension)
        self._next += 1
        return path

    def commit(self, part: Path, rows: int, done: Iterable[int], failed: Iterable[int] = ()) -> None:
        """Record a part that is in place.

        Raises:
            JournalError: It could not be recorded, so it does not belong to the run.
            SinkError: The part cannot be read back, or the run had every row before.
        """
        if self._is_published:
            raise SinkError(
                f"{self._shown} is complete, but its input has more rows now; use --restart to start over"
            )
        try:
            committed = Committed.of_file(part, rows, done, failed)
        except OSError as error:
            raise SinkError(f"{part} cannot be read back: {error.strerror or error}") from error
        self._journal.append(committed.entry)
        self._add(committed)
        self.settle_bodies()

    def end(self, format: Format) -> None:  # noqa: A002 - the public name
        """Join the parts if the output is one file; otherwise record that the run is complete.

        Raises:
            SinkError: The file or the record could not be written.
        """
        if self._final is None:
            self.record_end()
            return
        if self._is_published:
            self.remove()
            return
        self.publish(self.join(format.join), self._final)

    def join(self, write: Callable[[Sequence[Path], str], None]) -> Path:
        """Join the parts to one file, in this folder, where the next run finds what a crash leaves.

        Args:
            write: Writes the file, given the parts and its path.

        Returns:
            Where the file is; see `publish`.

        Raises:
            JournalError: A part has changed; all of them stay.
            SinkError: The file could not be written.
        """
        self._verify_parts()
        joined = self.path / JOINED
        write([self.path / name for name in self._parts], str(joined))
        return joined

    def _verify_parts(self) -> None:
        """Check that parts of earlier processes are unchanged; parts of this one were read back.

        Raises:
            JournalError: A part has changed; all of them stay.
        """
        for name, expected in self._sums.items():
            path = self.path / name
            try:
                found = sha256_of(path)
            except OSError as error:
                raise JournalError(f"{path} cannot be read: {error.strerror or error}") from error
            if found != expected:
                raise JournalError(f"{path} is damaged: its hash is not the one that was committed")

    def publish(self, joined: Path, final: Path) -> None:
        """Put the one file in place, and drop the folder: the file has every row now.

        Raises:
            SinkError: The file could not be put in place.
        """
        try:
            if RERUN_OF not in self._record:
                self.write_record(self._record | {FILE: _marks_of(joined) | self._positions()})
            self._place_bodies(final)
            joined.replace(final)
            sync_folder(final.parent)
            if self._bodies is None and RERUN_OF not in self._record:
                remove_bodies(bodies_beside(final))  # those of the file that was replaced
        except OSError as error:
            raise SinkError(f"{self._shown} could not be written: {error.strerror or error}") from error
        self.remove()

    def _place_bodies(self, final: Path) -> None:
        if self._bodies is None:
            return
        target = bodies_beside(final)
        if RERUN_OF in self._record:
            merge_bodies(self._bodies, target)
        else:
            move_bodies(self._bodies, target, self.path / OLD)

    @property
    def rows_format(self) -> Format:
        """The format of the parts."""
        known = FORMATS[self._format]
        return known if self._final is None else known.beside_file(self._final.name)

    def _positions(self) -> dict[str, object]:
        """Return the positions of a run that has every row, in the form that the journal uses for a part."""
        return {"done": [(0, self._end - 1)], "failed": self._failed}

    def record_end(self) -> None:
        """Record that the run is complete, and let other runs use the folder.

        Raises:
            SinkError: That could not be recorded.
        """
        self._journal.close()
        self.close_bodies()
        if not self._record.get(ENDED):
            try:
                self.write_record(self._record | {ENDED: True})
            except OSError as error:
                raise SinkError(f"{self._shown} could not be written: {error.strerror or error}") from error
            self.forget_noted()  # if the run had ended before, the ledger is a rerun's
        self._lock.release()

    def forget_noted(self) -> None:
        """Drop the ledger and the log of answers: each of their requests has a row."""
        for path in (self.ledger, self.answers):
            with suppress(OSError):
                path.unlink()

    def release(self) -> bool:
        """Let other runs use the folder. A folder without commits and without a ledger is removed.

        Returns:
            Whether it holds a run that can be resumed.
        """
        if not self._parts and not self.ledger.exists() and FILE not in self._record:
            self.remove()
            return False
        self.let_go()
        return True

    def let_go(self) -> None:
        """Let other runs use the folder, with everything in it."""
        self._journal.close()
        self.close_bodies()
        self._lock.release()

    def remove(self) -> None:
        """Drop the run and its folder. The next run removes what cannot be removed now."""
        self._journal.close()
        with suppress(OSError):
            if FILE in self._record:
                clear_run(self.path)
            else:
                self.drop()
        self.close_bodies()
        # Last: the next run takes the lock, and must not lose what it writes.
        self._lock.release()
        with suppress(OSError):
            self.path.rmdir()


def _marks_of(file: Path) -> dict[str, object]:
    """Return what distinguishes a file from others and survives a rename."""
    found = file.stat()
    return {"bytes": found.st_size, "mtime_ns": found.st_mtime_ns}
