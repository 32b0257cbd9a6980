"""A retry: the picked rows of a finished run, asked for again and committed as newer parts of the same run.

In a folder the new parts stand beside the old ones. A file is written anew at the end, from its own rows and
the parts of the retry, which wait in a folder beside it until then: a crash leaves the old file whole.
"""

from collections.abc import Callable, Collection, Sequence
from os import PathLike
from pathlib import Path
from typing import cast

from hurtle.errors import ConfigError, SinkError
from hurtle.formats import FORMATS, Format
from hurtle.formats.writer import Writer
from hurtle.outputs.folder import RETRIED, RunFolder
from hurtle.outputs.kinds import format_of, unreadable
from hurtle.outputs.ledger import keep_noted, unsettled
from hurtle.outputs.names import DatabaseAt, File, Folder, Remote, place_found
from hurtle.outputs.record import ENDED, Identity, Record, Resume, record_of
from hurtle.outputs.retries import Digest, RetryLog, Wanted, digest_of
from hurtle.positions import Done
from hurtle.rerun.again import RetrySink, done_of, not_ended, picked, run_not_ended
from hurtle.rerun.retried_table import TableRetry
from hurtle.rows import Rows
from hurtle.runs.opened import Found, find, read_record, run_of_file, run_of_folder
from hurtle.runs.run import Run
from hurtle.runs.where import Where
from hurtle.sinks.parts import PartsSink


class RetryFolder(RunFolder):
    """The folder to which a retry writes. `begin` picks the rows and writes nothing yet; `record` does.

    Args:
        found: The run.
        format: What its parts are, by name.
        where: The expression that picks the rows.
        restart: Whether to drop what an earlier retry still wanted, and pick anew.
        resend_unknown: Whether to pick also requests that may have been sent.
    """

    def __init__(
        self,
        found: Found,
        format: str,  # noqa: A002 - the public name
        where: str,
        *,
        restart: bool,
        resend_unknown: bool,
    ) -> None:
        super().__init__(found.folder, format, found.shown, final=found.file)
        self._found = found
        self._where = where
        self._restart = restart
        self._resend_unknown = resend_unknown
        self._log = RetryLog(found.folder)
        self._file: Digest | None = None
        self._unknown: Collection[int] = ()
        self.goes_on = False
        self.resumed = self.resumed_failed = self.withheld = 0

    @property
    def record(self) -> Record:
        """What the run is, or the retry that is gone on with; empty for a file that is retried anew."""
        return self._record

    def run(self) -> Run:
        """Return the run with what this retry has committed so far."""
        if self._found.file is None:
            return run_of_folder(self.path, self._shown)
        return run_of_file(self._found, with_retry=bool(self._record))

    def _begin(self, identity: Identity, resume: Resume) -> Done:
        """Return what is wanted and not done."""
        del identity, resume
        before = self._read_run()
        if self._found.file is None:
            self._refuse_unfinished(before)
        else:
            self._file = digest_of(self._found.file)
            before = self._known_retry(before, self._found.file)
        self._record = before or {}
        if before is not None:
            self._recover()
        retries = self._log.read()
        if retries.open is None:
            return self._picked()
        if self._restart:
            # What may have been sent stays wanted: dropped, it would look as if nobody had ever sent it.
            self._unknown = unsettled(self.ledger, self._done_since(retries.open))
            return done_of({*self._picked(), *self._unknown})
        if retries.open.where != self._where:
            raise not_ended(self._shown, retries.open.where)
        return self._left_of(retries.open)

    def _refuse_unfinished(self, before: Record | None) -> None:
        if before is None or not before.get(ENDED):
            raise run_not_ended(self._shown)

    def _known_retry(self, before: Record | None, file: Path) -> Record | None:
        """Return the retry of this very file that was interrupted, if there is one; drop any other."""
        if before is None:
            self._drop()
            return None
        retried, joined = before.get(RETRIED), self._log.read().joined
        if not isinstance(retried, dict):
            raise ConfigError(
                f"a run to {self._shown} has not ended: the command that began it goes on with it",
                option="out",
            )
        if retried == self._file:
            return before
        if not self._restart and joined != self._file:
            raise ConfigError(
                f"{file} is not the file any more whose retry was interrupted;"
                " --restart (restart=True) drops what that one has",
                option="out",
            )
        self._drop()
        return None

    def _picked(self) -> Done:
        found = picked(self.run(), self._where, resend_unknown=self._resend_unknown)
        self.withheld = found.withheld
        return found.wanted

    def _left_of(self, wanted: Wanted) -> Done:
        done = self._done_since(wanted)
        self.goes_on, self.resumed, self.resumed_failed = True, len(done), done.failed
        return done_of(index for index in Done(wanted.spans) if index not in done)

    def _done_since(self, wanted: Wanted) -> Done:
        """Return the positions that a retry has committed."""
        done = Done()
        for part in self._journal.parts()[wanted.after :]:
            done.add_spans(part.done, part.failed)
        return done

    def begin_retry(self, wanted: Done, identity: Identity) -> None:
        """Record what is asked for again, before anything is sent.

        Raises:
            SinkError, JournalError: It could not be recorded.
        """
        if self.goes_on:
            return
        try:
            # What the run that ended, or a retry that is dropped, has noted has its rows, but for this.
            if self._unknown:
                keep_noted(self.ledger, self._unknown)
            else:
                self.ledger.unlink(missing_ok=True)
            if self._file is not None:
                self._write_run(record_of(identity, self._format) | {RETRIED: self._file})
        except OSError as error:
            raise SinkError(f"{self._shown} could not be written: {error.strerror or error}") from error
        self._log.begin(Wanted(tuple(wanted.spans()), self._where, len(self._parts)))
        self.goes_on = True

    def publish(self, joined: Path, final: Path) -> None:
        """Put the file that was written anew in the place of the old one, and drop the folder."""
        self._log.join(digest_of(joined))
        self._log.close()
        super().publish(joined, final)

    def record_end(self) -> None:
        """Record that the retry is complete."""
        self._log.end()
        self._log.close()
        self._forget_noted()
        super().record_end()

    def release(self) -> bool:
        """Let others use the folder; the run in it stays."""
        self._log.close()
        if self._found.file is not None:
            return super().release()
        self._journal.close()
        self._lock.release()
        return self.goes_on


class PartsRetry(PartsSink, RetrySink):
    """Takes the rows of a retry of a run in parts, or of one that has become a file.

    Args:
        found: The run.
        folder: Its folder, not begun.
        format: What its parts are.
    """

    def __init__(self, found: Found, folder: RetryFolder, format: Format) -> None:  # noqa: A002
        if found.file is not None:
            format = _Merged(format, folder.run)  # noqa: A001
        super().__init__(folder, format)
        format.require()
        self._retry = folder
        self.shown = found.shown
        self.wanted = folder.begin(Identity(), "auto")
        self.withheld = folder.withheld

    @property
    def goes_on(self) -> bool:
        """Whether it goes on with a retry that was interrupted."""
        return self._retry.goes_on

    @property
    def resumed(self) -> int:
        """How many rows of it are committed already."""
        return self._retry.resumed

    @property
    def resumed_failed(self) -> int:
        """How many of those are not ok."""
        return self._retry.resumed_failed

    @property
    def record(self) -> Record:
        """What the run is; empty where nobody recorded it."""
        return self._retry.record

    def run(self) -> Run:
        """Return the run with what this retry has committed so far."""
        return self._retry.run()

    def begin(self, identity: Identity, resume: Resume) -> Done:
        """Record what is asked for again.

        Returns:
            All other positions, up to the last one that is.
        """
        del resume
        self._begun = True
        self._retry.begin_retry(self.wanted, identity)
        return self.others()

    def release(self) -> None:
        """Let others use the output; nothing was sent."""
        self._retry.release()


def open_retry(
    out: str | PathLike[str], where: str, *, restart: bool = False, resend_unknown: bool = False
) -> RetrySink:
    """Pick the rows of a finished run to ask for again, and keep other runs out.

    Args:
        out: What `run` was given.
        where: See `Where`.
        restart: Whether to drop what an earlier retry still wanted, and pick anew.
        resend_unknown: Whether to pick also requests that may have been sent.

    Raises:
        ConfigError: There is no run, it has not ended, another one uses it, its format cannot be read back,
            or the expression is none.
        JournalError: The record is damaged.
    """
    Where(where).close()
    match place_found(out):
        case Remote(address):
            raise ConfigError(
                f"{address}: a run in an object store cannot be retried; fetch what failed to another output",
                option="out",
            )
        case DatabaseAt(make=make):
            return TableRetry(make(), where, restart=restart, resend_unknown=resend_unknown)
        case Folder() | File() as place:
            return _retry_in_parts(find(place), where, restart=restart, resend_unknown=resend_unknown)


def _retry_in_parts(found: Found, where: str, *, restart: bool, resend_unknown: bool) -> PartsRetry:
    if found.file is None:
        record = read_record(found.folder, found.shown) or {}
        name = str(record.get("format"))
    else:
        name = format_of(found.file, found.shown)
    if name not in FORMATS:
        raise unreadable(f"{found.shown} is written as {name}")
    folder = RetryFolder(found, name, where, restart=restart, resend_unknown=resend_unknown)
    return PartsRetry(found, folder, FORMATS[name])


class _Merged(Format):
    """A format whose one file is made of the newest rows of a run, not of all its parts."""

    def __init__(self, format: Format, run: Callable[[], Run]) -> None:  # noqa: A002 - the public name
        super().__init__(format.name, format.extensions)
        self._format = format
        self._run = run
        self.marks, self.stored = format.marks, format.stored
        self.records_exchanges = format.records_exchanges

    def require(self) -> None:
        """Look for what the format needs."""
        self._format.require()

    def writer(self, path: str) -> Writer:
        """Return the format's writer."""
        return self._format.writer(path)

    def count(self, path: Path) -> int:
        """Count as the format does."""
        return self._format.count(path)

    def join(self, parts: Sequence[Path], out: str) -> None:
        """Write the newest row of each request."""
        del parts
        run = self._run()
        writer = self.writer(out)
        writer.open()
        try:
            for piece in self._format.copies(run):
                writer.write(cast("Rows", piece))
        except BaseException:
            writer.abort()
            raise
        writer.close()
        if (found := self.count(Path(out))) != run.rows:
            raise SinkError(f"{out} reads back with {found} of {run.rows} rows")
