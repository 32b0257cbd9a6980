"""`retry`: request picked rows of an ended run again, and replace them with the newer ones."""

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from hurtle import checks
from hurtle.api import Client
from hurtle.assembly import summary_of, watched
from hurtle.errors import ConfigError
from hurtle.formats.table import BODY_ENCODING
from hurtle.job import Job
from hurtle.options import FILE_DEFAULTS, OptionsDict
from hurtle.outputs.identity import path_of, recalled, unlike
from hurtle.outputs.record import Identity, input_difference, keeps_codings
from hurtle.report import Summary
from hurtle.rerun.asked import AskedRows
from hurtle.rerun.input import FirstRows, OpenInput, RowsSource, difference
from hurtle.rerun.sinks import open_rerun
from hurtle.runs import record_at
from hurtle.sources import Requests, Source, open_source

if TYPE_CHECKING:
    from hurtle.refresh import Refresh

NOT_OK = "not ok"
"""The default of `where`."""


def retry(
    out: str | PathLike[str],
    requests: Requests | None = None,
    *,
    where: str = NOT_OK,
    restart: bool = False,
    resend_unknown: bool = False,
    since: str | PathLike[str] | None = None,
    **options: Unpack[OptionsDict],
) -> Summary:
    """Request some rows of a run that has ended again; their newer rows replace the old ones.

    The same call resumes an interrupted retry. Options that shape requests and rows and are not given here
    are those of the run, if its output records them; headers and `params`, which may be secrets, are never
    recorded. The requests come from `requests`, or else from the input file of the run, which must not have
    changed. If that is gone, they are made from the rows themselves, provided that all of them were GETs:
    without the headers, parameters and credentials (also `user:password@` of a URL) that a request may have
    had of its own, so that a row that was good may fail.

    Args:
        out: The output of the run: a file, a folder, or the address of a database.
        requests: The input of the run, if it has moved or was not a file.
        where: Which rows: SQL over the scalar columns of the result table, such as "error like 'timeout.%'".
        restart: Drop what an interrupted retry still wanted, and pick the rows again.
        since: For a refresh whose output is a file, which does not name it: the earlier run it compares with.
        resend_unknown: Also request rows whose error is "local.sent_unknown": they may have been sent.
        **options: See `OptionsDict`; `ordered` is refused.

    Returns:
        The numbers of the retry.

    Raises:
        ConfigError: A wrong option or expression, no such run, one that has not ended, or another input;
            nothing was sent.
        SinkError: The output could not be written; the run is as it was, with the rows committed so far.
        JournalError: The record of the run could not be read or written.

    Example:
        >>> retry("results.parquet", where="status >= 500", timeout=60)  # doctest: +SKIP
    """
    with Client(**recorded_options(out, options)) as client:
        return Rerun(
            client, out, requests, where=where, restart=restart, resend_unknown=resend_unknown, since=since
        ).run()


def recorded_options(out: str | PathLike[str], given: OptionsDict) -> OptionsDict:
    """Return options as given; those that were not are what an output records of its run.

    Raises:
        ConfigError: There is no run, or it cannot be read now.
        JournalError: The record is damaged.
    """
    record = record_at(out)
    before = record.get("input")
    if isinstance(before, dict) and "names" in before:
        given = {"timeout": FILE_DEFAULTS["timeout"], **given}
    return recalled(record.get("options"), given)


class Rerun:
    """A rerun whose rows are picked and checked; nothing is sent yet. Call `run` or `close`.

    Args:
        client: Sends, under its options.
        out: See `retry`.
        requests: See `retry`.
        where: See `retry`.
        restart: See `retry`.
        resend_unknown: See `retry`.
        since: See `retry`.
        open_input: Makes a source of `requests`, or of the path that the run recorded.

    Raises:
        ConfigError: As `retry`.
        JournalError: As `retry`.
    """

    def __init__(
        self,
        client: Client,
        out: str | PathLike[str],
        requests: object = None,
        *,
        where: str = NOT_OK,
        restart: bool = False,
        resend_unknown: bool = False,
        since: str | PathLike[str] | None = None,
        open_input: OpenInput = open_source,
    ) -> None:
        if client.options.ordered:
            raise ConfigError(
                "ordered does not work with a retry; sort by the column index", option="ordered"
            )
        checks.flag("restart", restart)
        checks.flag("resend_unknown", resend_unknown)
        client.engine()  # options that only the engine can judge fail here, before the output is touched
        self._client = client
        self._open_input = open_input
        self._resend_unknown = resend_unknown
        self._job: Job | None = None
        self._from_rows = False
        self._sink = open_rerun(out, where, restart=restart, resend_unknown=resend_unknown)
        self._refresh: Refresh | None = None
        try:
            self._refresh = self._refreshed(out, since)
            self._source, self._identity = self._requests(requests)
        except BaseException:
            self.close()
            raise

    @property
    def rows(self) -> int:
        """How many rows are requested again; of a rerun that is resumed, those that are left."""
        return len(self._sink.picked.wanted)

    @property
    def withheld(self) -> int:
        """How many more rows match, which may have been sent already: they need consent."""
        return self._sink.picked.withheld

    @property
    def from_rows(self) -> bool:
        """Whether the requests are made from the rows, because the input is missing."""
        return self._from_rows

    @property
    def unlike(self) -> list[str]:
        """The options that differ from those of the run, which does not record them: they may be secrets."""
        return unlike(self._sink.record.get("options"), self._client.options)

    @property
    def waits_at(self) -> str | None:
        """Where an interrupted rerun can be resumed; None: it cannot, or was not interrupted."""
        return None if self._job is None else self._job.waits_at

    def run(self) -> Summary:
        """Send, and write the newer rows.

        Raises:
            BaseException: As `Job.run`.
        """
        if not self.rows and not self._sink.picked.is_resumed:
            self.close()
            return self._client.fetch([]).summary()
        options = self._client.options
        self._sink.keeps_codings = self._keeps_codings()
        progress, _, at_end = watched(options, self.rows)
        self._job = Job(
            self._client,
            self._source,
            self._sink,
            options,
            identity=self._identity,
            resend_unknown=self._resend_unknown,
            refresh=self._refresh,
            progress=progress,
            at_end=at_end,
        )
        outcome = self._job.run()
        picked = self._sink.picked
        outcome = replace(outcome, resumed=picked.resumed, resumed_failed=picked.resumed_failed)
        return summary_of(outcome, options)

    def _keeps_codings(self) -> bool:
        """Whether bodies are to keep their content codings: the run's record says so, or its first rows."""
        if keeps_codings(self._sink.record):
            return True
        first = next(self._sink.run().chunks(("index", BODY_ENCODING)), [])
        return any(row.get(BODY_ENCODING) is not None for row in first)

    def close(self) -> None:
        """Let others use the output; nothing was sent."""
        self._sink.release()
        if self._refresh is not None:
            self._refresh.close()

    def _refreshed(self, out: str | PathLike[str], since: str | PathLike[str] | None) -> "Refresh | None":
        """Return the comparison for the rows of a refresh; None: the run is not a refresh."""
        shown, recorded = self._sink.shown, self._sink.record.get("since")
        if not isinstance(recorded, dict):
            recorded = None
            first = next(self._sink.run().chunks(("index", "change")), [])
            if not any(row.get("change") for row in first):
                if since is not None:
                    raise ConfigError(
                        f"{shown} is not a refresh, and its retry takes no since", option="since"
                    )
                return None
            if since is None:
                raise ConfigError(
                    f"{shown} is a refresh, and a file does not record of which run: give since (--since)",
                    option="since",
                )
        from hurtle.refresh import Refresh

        earlier = str((recorded or {})["run"]) if since is None else since
        refresh = Refresh(earlier, out, self._client.options)
        if recorded is not None:
            self._refuse_other_earlier_run(refresh, recorded)
        return refresh

    def _refuse_other_earlier_run(self, refresh: "Refresh", recorded: Mapping[str, Any]) -> None:
        found = refresh.load()
        if any(recorded[name] != found[name] for name in ("rows", "digest")):
            refresh.close()
            raise ConfigError(
                f"{self._sink.shown} is a refresh of {recorded['run']} ({recorded['rows']} rows), but"
                f" {found['run']} ({found['rows']} rows) is another run, or has changed",
                option="since",
            )

    def _requests(self, requests: object) -> tuple[Source, Identity]:
        """Return what to send, compared with what was sent."""
        record, end = self._sink.record, max(self._sink.picked.wanted, default=-1) + 1
        if requests is None:
            path = record.get("path")
            if not isinstance(path, str) or not Path(path).is_file():
                self._from_rows = True
                return self._sink.seen(RowsSource(self._sink, end)), Identity()
            requests = path
        try:
            source = self._open_input(requests)
            fingerprint = self._sink.seen(source).fingerprint()
        except OSError as error:
            raise ConfigError(f"{requests}: {error.strerror or error}", option="requests") from error
        if fingerprint is None:
            raise ConfigError(
                "the input can be read only once, but a retry compares it first: give a file or a list",
                option="requests",
            )
        before = record.get("input")
        if isinstance(before, dict):
            self._refuse_another(before, json.loads(json.dumps(fingerprint)))
        else:
            self._compare_rows(source, end)
            source.close()
            source = self._open_input(requests)
        seen = self._sink.seen(source)
        return FirstRows(seen, end), Identity(input=fingerprint, path=path_of(source))

    def _refuse_another(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        if before != now:
            raise ConfigError(
                f"the input is not that of {self._sink.shown}: {input_difference(before, now)}",
                option="requests",
            )

    def _compare_rows(self, source: Source, end: int) -> None:
        """Compare the input with the rows themselves: a file does not record its input."""
        with closing(AskedRows(self._sink.rows())) as asked:
            requests = enumerate(islice(source, end))
            for at, row in asked:
                request = next((request for index, request in requests if index == at), None)
                words = f"it ends before row {at}"
                if request is not None:
                    differs = difference(row, request)
                    words = "" if differs is None else f"row {at} {differs}"
                if words:
                    raise ConfigError(
                        f"the input is not that of {self._sink.shown}: {words}", option="requests"
                    )
