"""Find the run that an output holds: a folder of parts, a file, an unfinished run, or a database."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from os import PathLike, fspath
from pathlib import Path

from hurtle import checks
from hurtle.errors import ConfigError, JournalError
from hurtle.formats import FORMATS
from hurtle.formats.bodies import STATE
from hurtle.outputs.answers import ANSWERS, logged_rows
from hurtle.outputs.database import Database
from hurtle.outputs.journal import Committed, Journal
from hurtle.outputs.kinds import format_of, unreadable
from hurtle.outputs.layout import JOURNAL
from hurtle.outputs.names import (
    RUN_SUFFIX,
    DatabaseAt,
    File,
    Folder,
    Remote,
    leads_elsewhere,
    place_found,
)
from hurtle.outputs.record import ENDED, RERUN, RERUN_OF, RUN, Record, is_under_way, read_record
from hurtle.outputs.reruns import RerunLog, Reruns, Wanted, digest_of
from hurtle.positions import Done, spans_of
from hurtle.runs.answered import answered
from hurtle.runs.plain import DECODED_AT_MOST
from hurtle.runs.referred import ReferredRun
from hurtle.runs.remote import open_remote, remote_record
from hurtle.runs.run import FoundBy, Part, Run, superseded
from hurtle.runs.stored_table import opened_to_read, stored_table


@dataclass(frozen=True, slots=True)
class Found:
    """Where an output is.

    Attributes:
        folder: The folder of its run; for a file, the folder next to it, which may not exist.
        file: The file that the run has become; None: the output is a folder, or there is no file yet.
        shown: The caller's name for it.
    """

    folder: Path
    file: Path | None
    shown: str


def open_run(
    out: str | PathLike[str],
    *,
    since: str | PathLike[str] | None = None,
    max_body_size: int | str = DECODED_AT_MOST,
) -> Run:
    """Open the output of a run to read it, whether the run has ended or not.

    Only rows that are on the disk are shown, and for a request that was sent again only the newest row. The
    answers in `answers.jsonl` of a run that was killed or is under way are among them.

    Args:
        out: The output that was given to `run`: a file, a folder, or the address of a database or of a folder
            of an object store.
        since: For a refresh, the earlier run that has the bodies of unchanged rows. Only needed if that is in
            another database or bucket than `out`: hurtle connects to no place just because a row names it.
        max_body_size: The largest body, in bytes, that comes out of one which a run with `bodies="coded"` has
            kept compressed.

    Returns:
        The run: iterate for dicts, or give it to any library that reads Arrow.

    Raises:
        ConfigError: There is no run, or it cannot be read now.
        JournalError: A committed part is gone, or the record is damaged.
        MissingExtraError: The format needs an optional package.

    Example:
        >>> open_run("results.parquet")  # doctest: +SKIP
        <Run 'results.parquet': complete>
    """
    most = checks.size("max_body_size", max_body_size)
    run, named = _run_at(out), [fspath(out), *([] if since is None else [fspath(since)])]
    # Relative names are resolved against this folder, even if the process changes its own.
    folder = Path(fspath(out)).absolute().parent
    return run.decoding(most).referring(partial(_bodies_in, folder=folder, named=named, most=most))


def _bodies_in(name: str, folder: Path, named: Sequence[str], most: int) -> FoundBy:
    """Return a function that finds the bodies that rows refer to in an earlier run.

    Args:
        name: The run, as the rows name it.
        folder: See `open_referred`.
        named: See `open_referred`.
        most: See `open_run`.

    Raises:
        JournalError: The earlier run is gone, or elsewhere.
    """
    try:
        _, run = open_referred(name, folder, named)
    except ConfigError as error:
        raise JournalError(f"unchanged bodies are in {name}, which cannot be read: {error}") from error
    return ReferredRun(name, run.decoding(most)).found


def open_referred(name: str, folder: Path, named: Sequence[str]) -> tuple[str, Run]:
    """Open a run that rows of another one refer to.

    Args:
        name: The run, as the rows name it. A relative name is looked up first from the current folder, and
            then from the folder of the run that has the rows.
        folder: The folder that contains the run that has the rows.
        named: The runs that the caller names, that one among them.

    Returns:
        The name under which it was found, and the run.

    Raises:
        ConfigError: As `open_run`; or it is in a database or a bucket in which the caller has named nothing.
        JournalError, MissingExtraError: As `open_run`.
    """
    if all(leads_elsewhere(name, one) for one in named):
        raise ConfigError(
            "hurtle does not connect there because a row says so: name it yourself, with since",
            option="since",
        )
    try:
        return name, open_run(name)
    except ConfigError:
        beside = folder / name
        if "://" not in name and not Path(name).is_absolute():
            with suppress(ConfigError):
                return str(beside), open_run(beside)
        raise


def _run_at(out: str | PathLike[str]) -> Run:
    match place_found(out):
        case Remote(address):
            return open_remote(address)
        case DatabaseAt(make=make):
            return run_of_database(make)
        case Folder() | File() as place:
            return _run_of(find(place))


def record_at(out: str | PathLike[str]) -> Record:
    """Return what an output records about its run; empty if it records nothing, like a single file.

    Raises:
        ConfigError: There is no output, or it cannot be read now.
        JournalError: The record is damaged.
    """
    match place_found(out):
        case Remote(address):
            return remote_record(address)
        case DatabaseAt(make=make):
            return _database_record(make)
        case Folder() | File() as place:
            found = find(place)
            return read_record(found.folder, found.shown) or {}


def find(place: Folder | File) -> Found:
    """Return where the files of a run are: at a place on this disk, or next to it.

    Raises:
        ConfigError: There is no run.
    """
    path, shown = place.path.resolve(), place.shown
    if path.is_dir():
        if not (path / RUN).is_file() and (path / STATE / RUN).is_file():
            path /= STATE
        record = read_record(path, shown)
        if record is None:
            raise ConfigError(f"{shown} is a folder without a run", option="out")
        if RERUN_OF in record:
            return Found(path, path.with_name(path.name.removesuffix(RUN_SUFFIX)), shown)
        return Found(path, None, shown)
    beside = path.with_name(path.name + RUN_SUFFIX)
    if path.exists():
        return Found(beside, path, shown)
    if (beside / RUN).is_file():
        return Found(beside, None, shown)
    raise ConfigError(f"{shown}: no such file or folder", option="out")


def _run_of(found: Found) -> Run:
    if found.file is None:
        return run_of_folder(found.folder, found.shown)
    record = read_record(found.folder, found.shown)
    rerun_of = None if record is None else record.get(RERUN_OF)
    # A rerun of another file of this name, or one that has replaced the file already, is not of this one.
    if isinstance(rerun_of, dict) and is_of(found.file, rerun_of):
        return run_of_file(found, with_rerun=True)
    return run_of_file(found)


def is_of(file: Path, digest: dict[str, object]) -> bool:
    """Whether a file has this size and hash."""
    try:
        return file.stat().st_size == digest.get("bytes") and digest_of(file) == digest
    except OSError:
        return False


def run_of_folder(folder: Path, shown: str) -> Run:
    """Return the run in a folder.

    Raises:
        ConfigError: Its format cannot be read back.
        JournalError: The record is damaged.
    """
    record = read_record(folder, shown) or {}
    reruns = RerunLog(folder).read()
    parts, _ = _committed(folder, str(record.get("format")), shown, reruns)
    return Run(shown, parts, bool(record.get(ENDED)) and reruns.open is None)


def run_of_file(found: Found, *, with_rerun: bool = False) -> Run:
    """Return the run that has become a file.

    Args:
        found: The file.
        with_rerun: Whether the folder next to it has a rerun of it, with newer rows.

    Raises:
        ConfigError: Its format cannot be read back.
        JournalError: The record of the rerun is damaged.
    """
    assert found.file is not None
    name = format_of(found.file, found.shown)
    format = FORMATS[name]  # noqa: A001 - the public name
    file = format.stored(found.file)
    if not with_rerun:
        return Run(found.shown, [Part(file, None)], True if format.has_footer else None)
    parts, again = _committed(found.folder, name, found.shown, RerunLog(found.folder).read())
    return Run(found.shown, [Part(file, None, list(again)), *parts], complete=False)


def run_of_database(make: Callable[[], Database]) -> Run:
    """Return the run in a database.

    Args:
        make: Makes the database; not open yet.

    Raises:
        ConfigError: It holds no run, or cannot be read now.
        JournalError: It is damaged.
    """
    record, database = _database_record(make), make()
    table = stored_table(database, partial(opened_to_read, make))
    logged = logged_rows(database.answers if is_under_way(record) else None)
    over: Sequence[int] = ()
    if len(logged):
        wanted, is_rerun = _wanted(make, record)
        logged = logged.only(wanted)
        over = sorted(logged.indexes()) if is_rerun else ()
    return Run(database.shown, [Part(table, None, over), *answered(logged)], not is_under_way(record))


def _wanted(make: Callable[[], Database], record: Record) -> tuple[Callable[[int], bool], bool]:
    """Return whether a position still lacks its row in a database, and whether that is the row of a rerun."""
    with opened_to_read(make) as database:
        try:
            if RERUN in record:
                return frozenset(database.wanted()).__contains__, True
            done = database.done()
        except database.error as error:
            raise JournalError(f"{database.shown} is damaged: {database.words(error)}") from error
    return lambda index: index not in done, False


def _database_record(make: Callable[[], Database]) -> Record:
    with opened_to_read(make) as database:
        try:
            record = database.read_run()
        except database.error as error:
            raise JournalError(f"{database.shown} is damaged: {database.words(error)}") from error
        if record is None:
            raise ConfigError(f"{database.shown} holds no run", option="out")
        return record


def _committed(
    folder: Path,
    format: str,  # noqa: A002 - the public name
    shown: str,
    reruns: Reruns,
) -> tuple[list[Part], Done]:
    """Return the parts that the journal lists, and the answers that are in no part yet.

    Args:
        folder: The folder of the run.
        format: The format of the parts, by name.
        shown: What to call the output in messages.
        reruns: The reruns of the run.

    Returns:
        The parts, and the positions whose rows a rerun wrote.
    """
    if format not in FORMATS:
        raise unreadable(f"{shown} is written as {format}")
    # Before the journal: a run that is under way may commit them meanwhile.
    logged = logged_rows(folder / ANSWERS)
    committed = Journal(folder / JOURNAL).parts(reruns.first_after)
    for part in committed:
        part.check(folder)
    if len(logged):
        logged = logged.only(_lacks_row(committed, reruns.open))
    spans = [part.done for part in committed]
    first_again = len(spans) if reruns.first_after is None else reruns.first_after
    hidden, again = superseded([*spans, spans_of(logged.indexes())], first_again)
    stored = FORMATS[format].stored
    parts = [
        Part(stored(folder / part.name), part.rows, over)
        for part, over in zip(committed, hidden, strict=False)
    ]
    return [*parts, *answered(logged, FORMATS[format].added)], again


def _lacks_row(committed: Sequence[Committed], rerun: Wanted | None) -> Callable[[int], bool]:
    """Return whether a position lacks its row in the parts of a run, or in those of its unfinished rerun."""
    after = 0 if rerun is None else rerun.after
    done = Done(span for part in committed[after:] for span in part.done)
    if rerun is None:
        return lambda index: index not in done
    wanted = Done(rerun.spans)
    return lambda index: index in wanted and index not in done
