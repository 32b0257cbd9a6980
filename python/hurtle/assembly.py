"""Joins client, input, output and options to one transfer or one job. Nothing is sent before it is used."""

from collections.abc import Callable
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from hurtle import checks
from hurtle.client import EngineClient, Transfer
from hurtle.errors import ConfigError
from hurtle.file_names import NAME_PLACES, FileNames, NameFrom
from hurtle.job import Job, Outcome
from hurtle.options import CODED, Options, OutputOptions, ProgressCallback
from hurtle.outputs import Identity, resume_mode
from hurtle.outputs.identity import identity_of
from hurtle.outputs.record import BODIES
from hurtle.report import Summary
from hurtle.rows import Rows
from hurtle.sinks import new_sink
from hurtle.sinks.download import download_sink
from hurtle.sources import AsyncSource, Source
from hurtle.sources.named import NamedAsyncSource, NamedSource

if TYPE_CHECKING:
    from hurtle._engine import ArrowStream
    from hurtle.refresh import Refresh

AtEnd = Callable[[], None]
"""Called once when a transfer or a job has ended, however it ended."""


def open_transfer(
    client: EngineClient, source: Source | AsyncSource, options: Options, at_end: AtEnd | None = None
) -> Transfer:
    """Return what sends the rows of a source and hands out responses.

    Args:
        client: The client that sends.
        source: The rows.
        options: The call's options, resolved.
        at_end: See `AtEnd`.
    """
    progress, _, at_end = watched(options, source.total, at_end)
    return Transfer(client, source, options, progress=progress, at_end=at_end)


def _refuse_body_folder(options: Options) -> None:
    if options.body_folder is not None:
        raise ConfigError(
            "body_folder is for stream and fetch; an output has large bodies on the disk with bodies='apart'",
            option="body_folder",
        )


def open_arrow(
    client: EngineClient, source: Source, options: Options, at_end: AtEnd | None = None
) -> "ArrowStream":
    """Return what sends the rows of a source and hands out the result table as record batches.

    Args:
        client: The client that sends.
        source: The rows.
        options: The call's options, resolved.
        at_end: See `AtEnd`.

    Raises:
        ConfigError: `ordered` or `on_error="raise"`, which a table cannot honor.
    """
    _refuse_body_folder(options)
    if options.ordered:
        raise ConfigError(
            "ordered is not supported by stream_arrow: sort by the column index", option="ordered"
        )
    if options.on_error == "raise":
        raise ConfigError(
            "on_error='raise' is not supported by stream_arrow: read the column error", option="on_error"
        )
    from hurtle._engine import ArrowStream

    return ArrowStream(open_transfer(client, source, options, at_end).batches())


def open_job(
    client: EngineClient,
    source: Source | AsyncSource,
    out: str | PathLike[str],
    options: Options,
    *,
    observe: Callable[[Rows], None] | None = None,
    at_end: AtEnd | None = None,
    **output: Unpack[OutputOptions],
) -> Job:
    """Return the job that writes the rows of a source to an output.

    Args:
        client: The client that sends.
        source: The rows.
        out: As in `Client.run`.
        options: The call's options, resolved.
        observe: Called with rows once they are written.
        at_end: See `AtEnd`.
        **output: See `OutputOptions`.

    Raises:
        ConfigError: An unknown format, an output that is the input, or options that contradict each other.
    """
    _refuse_body_folder(options)
    resume = resume_mode(output.get("resume"), output.get("restart", False))
    resend_unknown, since = output.get("resend_unknown", False), output.get("since")
    checks.flag("resend_unknown", resend_unknown)
    compression = output.get("compression")
    sink = new_sink(out, output.get("format"), output.get("bodies"), compression)
    _refuse_own_input(source.path, out)
    identity = _identity_of(source, options)
    if compression is not None:
        identity = replace(identity, compression=compression)
    if sink.keeps_codings:
        identity = replace(identity, options={**identity.options, BODIES: CODED})
    refresh = None if since is None else _open_refresh(since, out, options)
    progress, resumed, at_end = watched(options, source.total, at_end)
    return Job(
        client,
        source,
        sink,
        options,
        identity=identity,
        resume=resume,
        resend_unknown=resend_unknown,
        refresh=refresh,
        progress=progress,
        resumed=resumed,
        observe=observe,
        at_end=at_end,
    )


def open_download(
    client: EngineClient,
    source: Source | AsyncSource,
    folder: str | PathLike[str],
    options: Options,
    *,
    name_from: NameFrom,
    name_column: str | None,
    restart: bool,
    observe: Callable[[Rows], None] | None = None,
    at_end: AtEnd | None = None,
) -> Job:
    """Return the job that downloads the rows of a source into a folder.

    Args:
        client: The client that sends.
        source: The rows.
        folder: As in `Client.download`.
        options: The call's options, resolved.
        name_from: As in `Client.download`.
        name_column: As in `Client.download`.
        restart: As in `Client.download`.
        observe: Called with rows once they are written.
        at_end: See `AtEnd`.

    Raises:
        ConfigError: What is no folder, or no place of names.
    """
    _refuse_body_folder(options)
    if name_from not in NAME_PLACES:
        raise checks.wrong("name_from", name_from, " or ".join(f'"{place}"' for place in NAME_PLACES))
    if not (name_column is None or isinstance(name_column, str)):
        raise checks.wrong("name_column", name_column, "the name of a column, or None")
    checks.flag("restart", restart)
    names = FileNames(name_from, name_column)
    sink = download_sink(folder, names)
    named = (
        NamedSource(source, names, name_from, name_column)
        if isinstance(source, Source)
        else NamedAsyncSource(source, names)
    )
    identity = _identity_of(named, options)
    progress, resumed, at_end = watched(options, source.total, at_end)
    resume = resume_mode(None, restart)
    return Job(
        client, named, sink, options,
        identity=identity, resume=resume, progress=progress, resumed=resumed, observe=observe, at_end=at_end,
    )  # fmt: skip


def _identity_of(source: Source | AsyncSource, options: Options) -> Identity:
    try:
        return identity_of(source, options)
    except OSError as error:
        raise ConfigError(f"{source.path}: {error.strerror or error}", option="requests") from error


def _open_refresh(since: str | PathLike[str], out: str | PathLike[str], options: Options) -> "Refresh":
    from hurtle.refresh import Refresh

    return Refresh(since, out, options)


def _refuse_own_input(path: str | None, out: str | PathLike[str]) -> None:
    """Refuse to overwrite the input list with the result."""
    if path is None or path == "-" or not Path(out).exists() or not Path(path).is_file():
        return
    if Path(out).samefile(path):
        raise ConfigError(f"{fspath(out)} is the input; name another output", option="out")


def watched(
    options: Options, total: int | None, at_end: AtEnd | None = None
) -> tuple[ProgressCallback | None, Callable[[int], None] | None, AtEnd | None]:
    """Return the callbacks for counters, for the rows of an earlier run, and for the end.

    The last one removes the progress line.

    Args:
        options: The call's options, resolved.
        total: How many rows there will be; None: unknown.
        at_end: What the caller wants to be called at the end.
    """
    if options.progress is not True:
        return options.progress or None, None, at_end
    from hurtle.report.progress import open_progress

    view = open_progress(total, options)

    def end() -> None:
        view.close()
        if at_end is not None:
            at_end()

    return view.update, view.resume, end


def summary_of(outcome: Outcome, options: Options) -> Summary:
    """Return the numbers of a finished job.

    Args:
        outcome: What the job left.
        options: The options that it ran with.
    """
    return Summary.from_counters(
        outcome.counters,
        options,
        seconds=outcome.seconds,
        skipped=outcome.skipped,
        copied=outcome.copied,
        resumed=outcome.resumed,
        resumed_failed=outcome.resumed_failed,
    )
