"""The verbs `stream`, `fetch`, `run`, `stream_arrow` and their asyncio forms; `Client` has them as methods.

A function of this module opens a client for one call; a `Client` keeps connections, DNS answers and TLS
sessions. Wrong options and inputs raise an error before anything is sent.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from hurtle import checks
from hurtle.client import EngineClient, Transfer
from hurtle.errors import ConfigError
from hurtle.job import Job, Outcome
from hurtle.options import JobOptions, Options, OptionsDict, ProgressCallback
from hurtle.outputs import Resume, resume_mode
from hurtle.outputs.identity import identity_of
from hurtle.report import Gathered, Results, Summary
from hurtle.rows import Rows
from hurtle.sinks import BodyPlace, new_sink
from hurtle.sources import AsyncRequests, AsyncSource, Requests, Source, open_async_source, open_source

if TYPE_CHECKING:
    from hurtle._engine import ArrowStream, Response
    from hurtle.refresh import Refresh


class Client(EngineClient):
    """Options, connections, DNS answers and TLS sessions, shared by every call.

    A context manager, sync and async. Safe to use from several threads: each call is a separate job on the
    same engine.

    Args:
        **options: See `OptionsDict`. A call may override those of `JobOptions`.

    Raises:
        ConfigError: An option is wrong; the message names it, the value and what is allowed.

    Example:
        >>> with Client(concurrency=64) as client:
        ...     statuses = [response.status for response in client.stream([])]
    """

    def __init__(self, **options: Unpack[OptionsDict]) -> None:
        super().__init__(Options.resolve(options))

    def stream(self, requests: Requests, **options: Unpack[JobOptions]) -> "Iterator[Response]":
        """Send requests and yield responses as they complete, with lazy input and bounded memory.

        Sending starts when the iteration starts. Leaving the loop cancels requests in flight.

        Args:
            requests: An iterable of URLs, dicts or `Request`s, the path of a list, or a table.
            **options: See `JobOptions`.

        Returns:
            Iterator of Response, in completion order; in input order with `ordered=True`.

        Raises:
            ConfigError: A wrong option or input, before anything is sent.
        """
        return self._transfer(open_source(requests), self._for_job(options)).responses()

    def astream(self, requests: AsyncRequests, **options: Unpack[JobOptions]) -> "AsyncIterator[Response]":
        """Send requests and yield responses as `stream` does, on the running event loop.

        Args:
            requests: As for `stream`, or an async iterable.
            **options: See `JobOptions`.

        Returns:
            Async iterator of Response.

        Raises:
            ConfigError: A wrong option or input, before anything is sent.
        """
        return self._transfer(open_async_source(requests), self._for_job(options)).aresponses()

    def fetch(self, requests: Requests, **options: Unpack[JobOptions]) -> Results:
        """Send requests and return all responses. Unlike `stream` and `run`, it holds all of them in memory.

        Args:
            requests: As for `stream`.
            **options: See `JobOptions`.

        Returns:
            Sequence of Response, in input order.

        Raises:
            ConfigError: A wrong option or input, before anything is sent.
        """
        transfer = self._transfer(open_source(requests), settled := self._for_fetch(options))
        gathered = Gathered(transfer, settled)
        for batch in transfer.batches():
            gathered.add(batch)
        return gathered.results()

    async def afetch(self, requests: AsyncRequests, **options: Unpack[JobOptions]) -> Results:
        """Send requests and return all responses as `fetch` does, on the running event loop.

        Raises:
            ConfigError: A wrong option or input, before anything is sent.
        """
        transfer = self._transfer(open_async_source(requests), settled := self._for_fetch(options))
        gathered = Gathered(transfer, settled)
        batches = transfer.abatches()
        try:
            async for batch in batches:
                gathered.add(batch)
        finally:
            await batches.aclose()
        return gathered.results()

    def run(
        self,
        requests: Requests,
        out: str | PathLike[str],
        *,
        format: str | None = None,  # noqa: A002 - the public name
        bodies: BodyPlace | None = None,
        resume: bool | None = None,
        restart: bool = False,
        resend_unknown: bool = False,
        since: str | PathLike[str] | None = None,
        **options: Unpack[JobOptions],
    ) -> Summary:
        """Send requests and write the result table, one row for each, in bounded memory.

        Rows are committed part by part. The same call resumes an interrupted run, whatever interrupted it:
        committed rows are not requested again.

        Args:
            requests: As for `stream`.
            out: The output. A file: its extension names the format. It appears when the run ends; until then
                its parts lie in a folder beside it, named `out` plus ".run". A folder, if it exists as one or
                ends in "/": the parts stay there, on this disk or in an object store (`s3://bucket/prefix/`).
                The address of a database. "-" for stdout, where a run cannot be resumed.
            format: "parquet", "jsonl", "warc" or another, if the extension does not say it.
            bodies: "apart", for a folder on this disk: each body is a file there, stored once if equal, and
                its row names it in the column `body_path`. "inline": in the rows. None: the format's default.
            resume: Whether to resume a run that `out` holds. None: if input and options are provably the
                same. True: also if the input can be read only once. False: never.
            restart: Drop a run that `out` holds, and start over.
            resend_unknown: Whether to resend requests that an earlier run may have sent and that must not be
                sent twice, such as a POST. False: such a request gets a row with the error
                `local.sent_unknown`.
            since: The output of an earlier run to compare with. URLs that it has are downloaded only if they
                have changed; the column `change` says what happened to each.
            **options: See `JobOptions`.

        Returns:
            The numbers of the run.

        Raises:
            ConfigError: A wrong option, input or output, or `out` holds another run; nothing was sent.
            SinkError: The output could not be written.
            JournalError: Committed rows could not be recorded.
        """
        settled = self._for_job(options)
        source, mode = open_source(requests), resume_mode(resume, restart)
        job = open_job(
            self,
            source,
            out,
            format,
            settled,
            bodies=bodies,
            resume=mode,
            resend_unknown=resend_unknown,
            since=since,
        )
        return summary_of(job.run(), settled)

    async def arun(
        self,
        requests: AsyncRequests,
        out: str | PathLike[str],
        *,
        format: str | None = None,  # noqa: A002 - the public name
        bodies: BodyPlace | None = None,
        resume: bool | None = None,
        restart: bool = False,
        resend_unknown: bool = False,
        since: str | PathLike[str] | None = None,
        **options: Unpack[JobOptions],
    ) -> Summary:
        """Send requests and write the result table as `run` does, on the running event loop.

        Raises:
            ConfigError: A wrong option, input or output, before anything is sent.
            SinkError: The output could not be written.
        """
        settled = self._for_job(options)
        source, mode = open_async_source(requests), resume_mode(resume, restart)
        job = open_job(
            self,
            source,
            out,
            format,
            settled,
            bodies=bodies,
            resume=mode,
            resend_unknown=resend_unknown,
            since=since,
        )
        return summary_of(await job.arun(), settled)

    def stream_arrow(self, requests: Requests, **options: Unpack[JobOptions]) -> "ArrowStream":
        """Send requests and return the result table as a stream of Arrow record batches, as they fill.

        Args:
            requests: As for `stream`.
            **options: See `JobOptions`; `ordered` and `on_error="raise"` are not supported.

        Returns:
            An object with `__arrow_c_stream__`, which pyarrow, polars or duckdb can read once.

        Raises:
            ConfigError: A wrong option or input, before anything is sent.
        """
        settled = self._for_job(options)
        if settled.ordered:
            raise ConfigError(
                "ordered is not supported by stream_arrow: sort by the column index", option="ordered"
            )
        if settled.on_error == "raise":
            raise ConfigError(
                "on_error='raise' is not supported by stream_arrow: read the column error", option="on_error"
            )
        transfer = self._transfer(open_source(requests), settled)
        from hurtle._engine import ArrowStream

        return ArrowStream(transfer.batches())

    def _for_job(self, given: JobOptions) -> Options:
        options = self._options.for_job(given)
        self.engine()
        return options

    def _for_fetch(self, given: JobOptions) -> Options:
        # All rows are kept and sorted at the end, so no row has to wait for an earlier one.
        return replace(self._for_job(given), ordered=False)

    def _at_end(self) -> None:
        """Called after each call has ended."""

    def _transfer(self, source: Source | AsyncSource, options: Options) -> Transfer:
        progress, at_end = _watched(options, source.total, self._at_end)
        return Transfer(self, source, options, progress=progress, at_end=at_end)


class _OneCall(Client):
    """The client of one call; closes when the call has ended."""

    def _at_end(self) -> None:
        self.close()


def stream(requests: Requests, **options: Unpack[OptionsDict]) -> "Iterator[Response]":
    """Send requests and yield responses as they complete. See `Client.stream`; all options are allowed.

    Example:
        >>> [response.status for response in stream([])]
        []
    """
    return _OneCall(**options).stream(requests)


def astream(requests: AsyncRequests, **options: Unpack[OptionsDict]) -> "AsyncIterator[Response]":
    """Do what `stream` does on the running event loop. See `Client.astream`; all options are allowed."""
    return _OneCall(**options).astream(requests)


def fetch(requests: Requests, **options: Unpack[OptionsDict]) -> Results:
    """Send requests and return all responses, in input order. See `Client.fetch`; all options are allowed.

    Example:
        >>> len(fetch([]))
        0
    """
    return _OneCall(**options).fetch(requests)


async def afetch(requests: AsyncRequests, **options: Unpack[OptionsDict]) -> Results:
    """Do what `fetch` does on the running event loop. See `Client.afetch`; all options are allowed."""
    return await _OneCall(**options).afetch(requests)


def run(
    requests: Requests,
    out: str | PathLike[str],
    *,
    format: str | None = None,  # noqa: A002 - the public name
    bodies: BodyPlace | None = None,
    resume: bool | None = None,
    restart: bool = False,
    resend_unknown: bool = False,
    since: str | PathLike[str] | None = None,
    **options: Unpack[OptionsDict],
) -> Summary:
    """Send requests and write the result table to a file. See `Client.run`; all options are allowed."""
    return _OneCall(**options).run(
        requests,
        out,
        format=format,
        bodies=bodies,
        resume=resume,
        restart=restart,
        resend_unknown=resend_unknown,
        since=since,
    )


async def arun(
    requests: AsyncRequests,
    out: str | PathLike[str],
    *,
    format: str | None = None,  # noqa: A002 - the public name
    bodies: BodyPlace | None = None,
    resume: bool | None = None,
    restart: bool = False,
    resend_unknown: bool = False,
    since: str | PathLike[str] | None = None,
    **options: Unpack[OptionsDict],
) -> Summary:
    """Do what `run` does on the running event loop. See `Client.arun`; all options are allowed."""
    return await _OneCall(**options).arun(
        requests,
        out,
        format=format,
        bodies=bodies,
        resume=resume,
        restart=restart,
        resend_unknown=resend_unknown,
        since=since,
    )


def stream_arrow(requests: Requests, **options: Unpack[OptionsDict]) -> "ArrowStream":
    """Send requests and return an Arrow stream. See `Client.stream_arrow`; all options are allowed."""
    return _OneCall(**options).stream_arrow(requests)


def open_job(
    client: Client,
    source: Source | AsyncSource,
    out: str | PathLike[str],
    format: str | None,  # noqa: A002 - as in run
    options: Options,
    *,
    bodies: BodyPlace | None = None,
    resume: Resume = "auto",
    resend_unknown: bool = False,
    since: str | PathLike[str] | None = None,
    observe: Callable[[Rows], None] | None = None,
) -> Job:
    """Return the job that writes the rows of a source to an output.

    Args:
        client: The client that sends.
        source: The rows.
        out: As in `Client.run`.
        format: As in `Client.run`.
        options: The job's options, resolved.
        bodies: As in `Client.run`.
        resume: What to do with a run that the output holds.
        resend_unknown: As in `Client.run`.
        since: As in `Client.run`.
        observe: Called with rows once they are written.

    Raises:
        ConfigError: The format is unknown, or the output is the input.
    """
    checks.flag("resend_unknown", resend_unknown)
    sink = new_sink(out, format, bodies)
    _refuse_own_input(source.path, out)
    progress, at_end = _watched(options, source.total, client._at_end)
    try:
        identity = identity_of(source, options)
    except OSError as error:
        raise ConfigError(f"{source.path}: {error.strerror or error}", option="requests") from error
    return Job(
        client,
        source,
        sink,
        options,
        identity=identity,
        resume=resume,
        resend_unknown=resend_unknown,
        refresh=None if since is None else _open_refresh(since, out, options),
        progress=progress,
        observe=observe,
        at_end=at_end,
    )


def _open_refresh(since: str | PathLike[str], out: str | PathLike[str], options: Options) -> "Refresh":
    from hurtle.refresh import Refresh

    return Refresh(since, out, options)


def _refuse_own_input(path: str | None, out: str | PathLike[str]) -> None:
    """Refuse to overwrite the input list with the result."""
    if path is None or path == "-" or not Path(out).exists() or not Path(path).is_file():
        return
    if Path(out).samefile(path):
        raise ConfigError(f"{fspath(out)} is the input; name another output", option="out")


def _watched(
    options: Options, total: int | None, at_end: Callable[[], None]
) -> tuple[ProgressCallback | None, Callable[[], None]]:
    """Return the callback for counters, and the callback for the end."""
    if options.progress is not True:
        return options.progress or None, at_end
    from hurtle.report.progress import open_progress

    view = open_progress(total, options)

    def end() -> None:
        view.close()
        at_end()

    return view.update, end


def summary_of(outcome: Outcome, options: Options) -> Summary:
    """Return the numbers of a finished job that ran with these options."""
    return Summary.from_counters(
        outcome.counters,
        options,
        seconds=outcome.seconds,
        skipped=outcome.skipped,
        copied=outcome.copied,
        resumed=outcome.resumed,
        resumed_failed=outcome.resumed_failed,
    )
