"""A rerun of a run in a folder or a file: picked rows, requested again and committed as newer parts.

In a folder the new parts are beside the old ones. A file is rewritten at the end, from its own rows and the
parts of the rerun, which are in a folder beside it until then: after a crash the old file is whole.
"""

from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path

from hurtle.errors import ConfigError, SinkError
from hurtle.file_names import FileNames, NameFrom
from hurtle.formats import FORMATS, Format
from hurtle.formats.bodies import STATE
from hurtle.formats.downloads import Downloads
from hurtle.formats.registry import bodies_apart
from hurtle.outputs.answers import commit_answers
from hurtle.outputs.download_folder import DownloadFolder
from hurtle.outputs.folder import RunFolder
from hurtle.outputs.kinds import format_of, unreadable
from hurtle.outputs.layout import bodies_beside
from hurtle.outputs.ledger import keep_noted, unsettled
from hurtle.outputs.record import (
    COMPRESSION,
    ENDED,
    RERUN_OF,
    Identity,
    Record,
    Resume,
    read_record,
    record_of,
)
from hurtle.outputs.reruns import Digest, RerunLog, Wanted, digest_of
from hurtle.positions import Done
from hurtle.rerun.base import Picked, RerunSink, all_but, done_of, not_ended, pick, run_not_ended
from hurtle.runs.opened import Found, run_of_file, run_of_folder
from hurtle.runs.run import Run
from hurtle.sinks.parts import PartsSink
from hurtle.sources import Source
from hurtle.sources.named import NamedSource


class RerunFolder:
    """The folder that a rerun writes its parts to. Call `pick`, then `begin` or `release`.

    Args:
        found: The run.
        folder: Its folder, not open yet.
        format: What its parts are, by name.
        where: The expression that picks the rows.
        restart: Whether to drop what an earlier rerun still wanted, and pick rows again.
        resend_unknown: Whether to pick also requests that may have been sent.
    """

    def __init__(
        self,
        found: Found,
        folder: RunFolder,
        format: str,  # noqa: A002 - the public name
        where: str,
        *,
        restart: bool,
        resend_unknown: bool,
    ) -> None:
        self._folder = folder
        self._found = found
        self._format = format
        self._where = where
        self._restart = restart
        self._resend_unknown = resend_unknown
        self._log = RerunLog(found.folder)
        self._file: Digest | None = None
        self._wanted = Done()
        self._unknown: Collection[int] = ()
        self._is_recorded = False

    @property
    def record(self) -> Record:
        """What the run is, or the rerun that is resumed; empty for the first rerun of a file."""
        return self._folder.record

    @property
    def ledger(self) -> Path:
        """In the folder."""
        return self._folder.ledger

    @property
    def answers(self) -> Path:
        """In the folder."""
        return self._folder.answers

    @property
    def ledger_elsewhere(self) -> str | None:
        """None: the ledger is in the folder."""
        return self._folder.ledger_elsewhere

    def take_ledger(self) -> None:
        """Do nothing: the ledger is here."""

    @property
    def whereabouts(self) -> str:
        """What to call it in hints."""
        return self._folder.whereabouts

    def run(self) -> Run:
        """Return the run with what this rerun has committed so far."""
        if self._found.file is None:
            return run_of_folder(self._found.folder, self._found.shown)
        return run_of_file(self._found, with_rerun=bool(self.record))

    def pick(self) -> Picked:
        """Take the folder, and find out what is wanted; nothing is recorded yet.

        Raises:
            ConfigError: See `open_rerun`.
            JournalError: The record is damaged.
        """
        with self._folder.opening():
            picked = self._pick()
        self._wanted, self._is_recorded = picked.wanted, picked.is_resumed
        return picked

    def _pick(self) -> Picked:
        before = self._folder.read_record()
        if self._found.file is None:
            if before is None or not before.get(ENDED):
                raise run_not_ended(self._found.shown)
        else:
            self._file = digest_of(self._found.file)
            before = self._known_rerun(before, self._file)
        if before is not None:
            self._folder.recover(before)
        if (unfinished := self._log.read().open) is None:
            return self._picked()
        done = self._done_since(unfinished)
        commit_answers(
            self._folder.answers, self._folder, self._folder.rows_format, done, Done(unfinished.spans)
        )
        if self._restart:
            # What may have been sent stays wanted: dropped, it would look as if it had never been sent.
            self._unknown = unsettled(self.ledger, self._done_since(unfinished))
            return self._picked(also=self._unknown)
        if unfinished.where != self._where:
            raise not_ended(self._found.shown, unfinished.where)
        return self._left_of(unfinished)

    def _known_rerun(self, before: Record | None, file: Digest) -> Record | None:
        """Return the rerun of this very file that was interrupted, if there is one; drop any other."""
        if before is not None:
            rerun_of, joined = before.get(RERUN_OF), self._log.read().joined
            if not isinstance(rerun_of, dict):
                raise ConfigError(
                    f"a run to {self._found.shown} has not ended: the command that started it resumes it",
                    option="out",
                )
            if rerun_of == file:
                return before
            if not self._restart and joined != file:
                raise ConfigError(
                    f"{self._found.file} is not the file whose retry was interrupted;"
                    " --restart (restart=True) drops the rows of that retry",
                    option="out",
                )
        self._folder.drop()
        return None

    def _picked(self, also: Collection[int] = ()) -> Picked:
        found = pick(self.run(), self._where, resend_unknown=self._resend_unknown)
        for index in also:
            found.wanted.add(index)
        return found

    def _left_of(self, unfinished: Wanted) -> Picked:
        done = self._done_since(unfinished)
        left = done_of(index for index in Done(unfinished.spans) if index not in done)
        return Picked(wanted=left, is_resumed=True, resumed=len(done), resumed_failed=done.failed)

    def _done_since(self, unfinished: Wanted) -> Done:
        """Return the positions that a rerun has committed."""
        done = Done()
        for part in self._folder.committed()[unfinished.after :]:
            done.add_spans(part.done, part.failed)
        return done

    def begin(self, identity: Identity, resume: Resume) -> Done:
        """Record what is requested again, before anything is sent.

        Returns:
            All other positions, up to the last one that is.

        Raises:
            SinkError, JournalError: It could not be recorded.
        """
        del resume
        if not self._is_recorded:
            try:
                self._record_rerun(identity)
            except BaseException:
                self.release()
                raise
            self._is_recorded = True
        return all_but(self._wanted)

    def _record_rerun(self, identity: Identity) -> None:
        try:
            # All that the ended run or a dropped rerun has noted has its row by now, except what is unknown.
            if self._unknown:
                keep_noted(self.ledger, self._unknown)
            else:
                self.ledger.unlink(missing_ok=True)
            self.answers.unlink(missing_ok=True)
            if self._file is not None:
                self._folder.write_record(record_of(identity, self._format) | {RERUN_OF: self._file})
        except OSError as error:
            raise SinkError(f"{self._found.shown} could not be written: {error.strerror or error}") from error
        self._log.begin(Wanted(self._wanted.spans(), self._where, after=len(self._folder.committed())))

    def open_bodies(self) -> Path | None:
        """Return the folder where the engine writes large bodies. Raises as `RunFolder.open_bodies`."""
        return self._folder.open_bodies()

    def new_part(self, extension: str) -> Path:
        """Return the path of the next part; nothing is there yet."""
        return self._folder.new_part(extension)

    def commit(self, part: Path, rows: int, done: Iterable[int], failed: Iterable[int] = ()) -> None:
        """Record a part that is in its place. Raises as `RunFolder.commit`."""
        self._folder.commit(part, rows, done, failed)

    def end(self, format: Format) -> None:  # noqa: A002 - the public name
        """Replace the file, where the run is one; else record that the rerun is complete.

        Raises:
            SinkError, JournalError: It could not be written; the run and the rows so far are as they were.
        """
        if self._found.file is None:
            self._log.end()
            self._log.close()
            self._folder.forget_noted()
            self._folder.record_end()
            return
        joined = self._folder.join(lambda _, out: _write_newest(self.run(), format, out))
        self._log.join(digest_of(joined))
        self._log.close()
        self._folder.publish(joined, self._found.file)

    def release(self) -> bool:
        """Let others use the folder. The run in it stays; an empty one beside a file is removed.

        Returns:
            Whether it has a rerun that can be resumed.
        """
        self._log.close()
        if self._found.file is not None:
            return self._folder.release()
        self._folder.let_go()
        return self._is_recorded


class RerunPartsSink(PartsSink, RerunSink):
    """Takes the rows of a rerun in parts.

    Args:
        found: The run.
        folder: Its folder, not picked from yet.
        format: What its parts are.
    """

    def __init__(self, found: Found, folder: RerunFolder, format: Format) -> None:  # noqa: A002
        super().__init__(folder, format)
        format.require()
        self._rerun = folder
        self.shown = found.shown
        self.picked = folder.pick()
        self.record = folder.record

    def run(self) -> Run:
        """Return the run with what this rerun has committed so far."""
        return self._rerun.run()

    def release(self) -> None:
        """Let others use the output; nothing was sent."""
        self._rerun.release()


class RerunDownloadSink(RerunPartsSink):
    """Takes the rows of a rerun of a download.

    Args:
        found: The run.
        folder: Its folder, not picked from yet.
        rows: What its parts are.
        names: What rows are called.
        name_from: As in the download.
        column: As in the download.
    """

    def __init__(
        self,
        found: Found,
        folder: RerunFolder,
        rows: Downloads,
        names: FileNames,
        name_from: NameFrom,
        column: str | None,
    ) -> None:
        super().__init__(found, folder, rows)
        self._named = partial(NamedSource, names=names, name_from=name_from, column=column)

    def seen(self, source: Source) -> Source:
        """Return a source that tells the names of its rows."""
        return self._named(source)


def rerun_in_parts(found: Found, where: str, *, restart: bool, resend_unknown: bool) -> RerunPartsSink:
    """Pick rows of a run that is in a folder or a file, and keep other runs out.

    Args:
        found: The run.
        where: See `open_rerun`.
        restart: See `open_rerun`.
        resend_unknown: See `open_rerun`.

    Raises:
        ConfigError, JournalError: As `open_rerun`.
    """
    if found.folder.name == STATE:
        return _rerun_of_download(found, where, restart=restart, resend_unknown=resend_unknown)
    record: Record = {}
    if found.file is None:
        record = read_record(found.folder, found.shown) or {}
        name = str(record.get("format"))
    else:
        name = format_of(found.file, found.shown)
    if name not in FORMATS:
        raise unreadable(f"{found.shown} is written as {name}")
    format = FORMATS[name]  # noqa: A001 - the public name
    if (compression := record.get(COMPRESSION)) is not None:
        format = format.compressed(str(compression))  # noqa: A001
    if found.file is not None and bodies_beside(found.file).is_dir():
        format = (bodies_apart(name) or format).beside_file(found.file.name)  # noqa: A001
    run_folder = RunFolder(found.folder, format.name, found.shown, final=found.file)
    folder = RerunFolder(
        found, run_folder, format.name, where, restart=restart, resend_unknown=resend_unknown
    )
    return RerunPartsSink(found, folder, format)


def _rerun_of_download(
    found: Found, where: str, *, restart: bool, resend_unknown: bool
) -> "RerunDownloadSink":
    """Pick rows of a download. Their files get names as in the download; none is replaced."""
    record = read_record(found.folder, found.shown) or {}
    before = record.get("input")
    rule: tuple[NameFrom, str | None] = before["names"] if isinstance(before, dict) else ("url", None)
    name_from, column = rule
    names = FileNames(name_from, column)
    rows = Downloads(names)
    run_folder = DownloadFolder(found.folder.parent, rows, found.shown)
    folder = RerunFolder(found, run_folder, rows.name, where, restart=restart, resend_unknown=resend_unknown)
    return RerunDownloadSink(found, folder, rows, names, name_from, column)


def _write_newest(run: Run, format: Format, out: str) -> None:  # noqa: A002 - the public name
    """Write one file of the newest row of each request."""
    format.write_newest(run, out)
    if (found := format.count(Path(out))) != run.rows:
        raise SinkError(f"{out} reads back with {found} of {run.rows} rows")
