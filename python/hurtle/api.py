"""The verbs `stream`, `fetch`, `run`, `download`, `stream_arrow` and their asyncio forms.

`Client` has them as methods.

A function of this module opens a client for one call; a `Client` keeps connections, DNS answers and TLS
sessions. Wrong options and inputs raise an error before anything is sent.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Unpack

from hurtle.assembly import open_arrow, open_download, open_job, open_transfer, summary_of
from hurtle.client import EngineClient, Transfer
from hurtle.options import (
    FILE_DEFAULTS,
    DownloadOptions,
    DownloadOptionsDict,
    JobOptions,
    NameOptions,
    Options,
    OptionsDict,
    RunOptions,
    RunOptionsDict,
    split_names,
    split_output,
)
from hurtle.report import Results, Summary, agathered, gathered
from hurtle.sources import AsyncRequests, AsyncSource, Requests, Source, open_async_source, open_source

if TYPE_CHECKING:
    from hurtle._engine import ArrowStream, Response
    from hurtle.job import Job


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
        settled = self._for_fetch(options)
        return gathered(self._transfer(open_source(requests), settled), settled)

    async def afetch(self, requests: AsyncRequests, **options: Unpack[JobOptions]) -> Results:
        """Send requests and return all responses as `fetch` does, on the running event loop.

        Raises:
            ConfigError: A wrong option or input, before anything is sent.
        """
        settled = self._for_fetch(options)
        return await agathered(self._transfer(open_async_source(requests), settled), settled)

    def run(self, requests: Requests, out: str | PathLike[str], **options: Unpack[RunOptions]) -> Summary:
        """Send requests and write the result table, one row for each, in bounded memory.

        Rows are committed part by part. The same call resumes an interrupted run, whatever interrupted it:
        committed rows are not requested again.

        Args:
            requests: As for `stream`.
            out: The output. A file: its extension names the format. It appears when the run ends; until then
                its parts lie in a folder beside it, named `out` plus ".run". A folder, if it exists as one or
                ends in "/": the parts stay there, on this disk or in an object store (`s3://bucket/prefix/`).
                The address of a database. "-" for stdout, where a run cannot be resumed.
            **options: See `OutputOptions` (`format`, `bodies`, `resume`, `restart`, `resend_unknown`,
                `since`) and `JobOptions`.

        Returns:
            The numbers of the run.

        Raises:
            ConfigError: A wrong option, input or output, or `out` holds another run; nothing was sent.
            SinkError: The output could not be written.
            JournalError: Committed rows could not be recorded.
        """
        output, own = split_output(options)
        settled = self._for_job(own)
        job = open_job(self, open_source(requests), out, settled, at_end=self._at_end, **output)
        return summary_of(job.run(), settled)

    async def arun(
        self, requests: AsyncRequests, out: str | PathLike[str], **options: Unpack[RunOptions]
    ) -> Summary:
        """Send requests and write the result table as `run` does, on the running event loop.

        Raises:
            ConfigError: A wrong option, input or output, before anything is sent.
            SinkError: The output could not be written.
            JournalError: Progress could not be recorded.
        """
        output, own = split_output(options)
        settled = self._for_job(own)
        job = open_job(self, open_async_source(requests), out, settled, at_end=self._at_end, **output)
        return summary_of(await job.arun(), settled)

    def download(
        self, requests: Requests, folder: str | PathLike[str], **options: Unpack[DownloadOptions]
    ) -> Summary:
        """Send requests and write the body of each response that is ok to a file, in bounded memory.

        A file appears under its name when it is complete and fsynced. No other file is replaced, and no name
        leads out of the folder. The rows, as `run` writes them, are in `folder`/.hurtle: `open_run(folder)`
        reads them, and their column `body_path` has the names. The same call resumes an interrupted download.

        Args:
            requests: As for `stream`.
            folder: Where the files go; created if it does not exist.
            **options: See `NameOptions` (`name_from`, `name_column`, `restart`) and `JobOptions`. The largest
                file is the client's `max_body_size`.

        Returns:
            The numbers of the download.

        Raises:
            ConfigError: A wrong option, input or folder, or the folder holds another download; nothing was
                sent.
            SinkError: A file could not be written.
            JournalError: Files could not be recorded.
        """
        names, own = split_names(options)
        settled = self._for_job(own)
        return summary_of(self._download(open_source(requests), folder, settled, names).run(), settled)

    async def adownload(
        self, requests: AsyncRequests, folder: str | PathLike[str], **options: Unpack[DownloadOptions]
    ) -> Summary:
        """Send requests and write files as `download` does, on the running event loop.

        Raises:
            ConfigError: A wrong option, input or folder, before anything is sent.
            SinkError: A file could not be written.
            JournalError: Files could not be recorded.
        """
        names, own = split_names(options)
        settled = self._for_job(own)
        job = self._download(open_async_source(requests), folder, settled, names)
        return summary_of(await job.arun(), settled)

    def _download(
        self, source: Source | AsyncSource, folder: str | PathLike[str], options: Options, names: NameOptions
    ) -> "Job":
        return open_download(
            self,
            source,
            folder,
            options,
            name_from=names.get("name_from", "url"),
            name_column=names.get("name_column"),
            restart=names.get("restart", False),
            at_end=self._at_end,
        )

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
        return open_arrow(self, open_source(requests), self._for_job(options), self._at_end)

    def _for_job(self, given: JobOptions) -> Options:
        options = self.options.for_job(given)
        self.engine()
        return options

    def _for_fetch(self, given: JobOptions) -> Options:
        # All rows are kept and sorted at the end, so no row has to wait for an earlier one.
        return replace(self._for_job(given), ordered=False)

    def _at_end(self) -> None:
        """Called after each call has ended."""

    def _transfer(self, source: Source | AsyncSource, options: Options) -> Transfer:
        return open_transfer(self, source, options, self._at_end)


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


def run(requests: Requests, out: str | PathLike[str], **options: Unpack[RunOptionsDict]) -> Summary:
    """Send requests and write the result table to an output. See `Client.run`; all options are allowed."""
    output, others = split_output(options)
    return _OneCall(**others).run(requests, out, **output)


async def arun(
    requests: AsyncRequests, out: str | PathLike[str], **options: Unpack[RunOptionsDict]
) -> Summary:
    """Do what `run` does on the running event loop. See `Client.arun`; all options are allowed."""
    output, others = split_output(options)
    return await _OneCall(**others).arun(requests, out, **output)


def download(
    requests: Requests, folder: str | PathLike[str], **options: Unpack[DownloadOptionsDict]
) -> Summary:
    """Download files into a folder. See `Client.download`; all options are allowed.

    Unless given, `max_body_size` is 1 TiB, and `timeout` limits silence (30 s), not the whole attempt.
    """
    names, others = split_names(options)
    return _OneCall(**(FILE_DEFAULTS | others)).download(requests, folder, **names)


async def adownload(
    requests: AsyncRequests, folder: str | PathLike[str], **options: Unpack[DownloadOptionsDict]
) -> Summary:
    """Download files as `download` does, on the running event loop. See `Client.adownload`."""
    names, others = split_names(options)
    return await _OneCall(**(FILE_DEFAULTS | others)).adownload(requests, folder, **names)


def stream_arrow(requests: Requests, **options: Unpack[OptionsDict]) -> "ArrowStream":
    """Send requests and return an Arrow stream. See `Client.stream_arrow`; all options are allowed."""
    return _OneCall(**options).stream_arrow(requests)
