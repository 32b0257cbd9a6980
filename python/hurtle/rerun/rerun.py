"""`retry`: ask again for picked rows of a run that has ended, and give the run their newer rows."""

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from hurtle import checks
from hurtle.api import Client
from hurtle.errors import ConfigError
from hurtle.job import Job
from hurtle.options import OptionsDict
from hurtle.outputs.identity import path_of, recalled, unlike
from hurtle.outputs.record import Identity, input_difference
from hurtle.report import Summary
from hurtle.rerun.choose import open_rerun
from hurtle.rerun.input import FirstRows, OpenInput, RowsSource, difference
from hurtle.runs import record_at
from hurtle.sources import Requests, Source, open_source
from hurtle.wiring import summary_of, watched

if TYPE_CHECKING:
    from hurtle.refresh import Refresh

NOT_OK = "not ok"
"""The rows that are asked for again where nothing else is said."""


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
    """Ask again for some rows of a run that has ended; their newer rows take the place of the old ones.

    An interrupted retry is gone on with by the same call. Options that shape requests and rows are those of
    the run where its output records them and they are not given here; headers and `params`, which may be
    secrets, are recorded nowhere. The requests come from `requests`, else from the file that the run was made
    from, which must be the same; where that is gone, from the rows themselves, if all of them were GETs:
    without the credentials (`user:password@` of a URL too), headers and parameters that a request may have
    had of its own. A row that was good may fail then.

    Args:
        out: The output of the run: a file, a folder, or the address of a database.
        requests: The input of the run, where it is somewhere else now, or was no file.
        where: Which rows: SQL over the scalar columns of the result table, such as "error like 'timeout.%'".
        restart: Drop what an interrupted retry still wanted, and pick the rows anew.
        since: Of a refresh, the earlier run that it compares with, where the output does not say it: a file.
        resend_unknown: Ask also for rows whose error is "local.sent_unknown": they may have been sent.
        **options: See `OptionsDict`; `ordered` does not fit.

    Returns:
        The numbers of the retry.

    Raises:
        ConfigError: A wrong option or expression, no such run, one that has not ended, or another input;
            nothing was sent.
        SinkError: The output could not be written; the run is as it was, with what is committed of the retry.
        JournalError: The record of the run could not be read or written.

    Example:
        >>> retry("results.parquet", where="status >= 500", timeout=60)  # doctest: +SKIP
    """
    with Client(**recorded_options(out, options)) as client:
        return Rerun(
            client, out, requests, where=where, restart=restart, resend_unknown=resend_unknown, since=since
        ).run()


def recorded_options(out: str | PathLike[str], given: OptionsDict) -> OptionsDict:
    """Return options as given, and for those that were not, what an output records of its run.

    Raises:
        ConfigError: There is no run, or it cannot be read now.
        JournalError: The record is damaged.
    """
    return recalled(record_at(out).get("options"), given)


class Rerun:
    """A retry that is picked and checked, and has sent nothing yet. `run` or `close` it.

    Args:
        client: Who sends, under its options.
        out: As of `retry`.
        requests: As of `retry`.
        where: As of `retry`.
        restart: As of `retry`.
        resend_unknown: As of `retry`.
        since: As of `retry`.
        open_input: What makes a source of `requests`, or of the path that the run recorded.

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
            raise ConfigError("ordered does not fit a retry; sort by the column index", option="ordered")
        checks.flag("restart", restart)
        checks.flag("resend_unknown", resend_unknown)
        client.engine()  # options that only the engine can judge fail here, before the output is touched
        self._client = client
        self._open_input = open_input
        self._resend_unknown = resend_unknown
        self._job: Job | None = None
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
        """How many rows are asked for again; of one that is gone on with, those that are left."""
        return len(self._sink.picked.wanted)

    @property
    def withheld(self) -> int:
        """How many rows more would be asked for, which may have been sent: they need consent."""
        return self._sink.picked.withheld

    @property
    def from_rows(self) -> bool:
        """Whether the requests are made from the rows, because the input is not there."""
        return isinstance(self._source, RowsSource)

    @property
    def unlike(self) -> list[str]:
        """The options that are not those of the run and that it does not record: they may be secrets."""
        return unlike(self._sink.record.get("options"), self._client.options)

    @property
    def waits_at(self) -> str | None:
        """Where a retry that was interrupted waits for another to go on with it."""
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
        progress, at_end = watched(options, self.rows)
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

    def close(self) -> None:
        """Let go of the output; nothing was sent."""
        self._sink.release()
        if self._refresh is not None:
            self._refresh.close()

    def _refreshed(self, out: str | PathLike[str], since: str | PathLike[str] | None) -> "Refresh | None":
        """Return the comparison that the rows of a refresh need; None: the run is none."""
        shown, recorded = self._sink.shown, self._sink.record.get("since")
        if not isinstance(recorded, dict):
            recorded = None
            first = next(self._sink.run().chunks(("index", "change")), [])
            if not any(row.get("change") for row in first):
                if since is not None:
                    raise ConfigError(f"{shown} is no refresh: since does not fit its retry", option="since")
                return None
            if since is None:
                raise ConfigError(
                    f"{shown} is a refresh, and as a file it does not say of which run: give since (--since)",
                    option="since",
                )
        from hurtle.refresh import Refresh

        earlier = str((recorded or {})["run"]) if since is None else since
        refresh = Refresh(earlier, out, self._client.options)
        if recorded is not None:
            self._refuse_another_past(refresh, recorded)
        return refresh

    def _refuse_another_past(self, refresh: "Refresh", recorded: Mapping[str, Any]) -> None:
        found = refresh.load()
        if any(recorded[name] != found[name] for name in ("rows", "digest")):
            refresh.close()
            raise ConfigError(
                f"{self._sink.shown} is a refresh of {recorded['run']} ({recorded['rows']} rows), and"
                f" {found['run']} ({found['rows']} rows) is not that run, or not as it was",
                option="since",
            )

    def _requests(self, requests: object) -> tuple[Source, Identity]:
        """Return what to send, after it was compared with what was sent."""
        record, end = self._sink.record, max(self._sink.picked.wanted, default=-1) + 1
        if requests is None:
            path = record.get("path")
            if not isinstance(path, str) or not Path(path).is_file():
                return RowsSource(self._sink, end), Identity()
            requests = path
        try:
            source = self._open_input(requests)
            fingerprint = source.fingerprint()
        except OSError as error:
            raise ConfigError(f"{requests}: {error.strerror or error}", option="requests") from error
        if fingerprint is None:
            raise ConfigError(
                "the input can be read once only, and a retry compares it first: give a file or a list",
                option="requests",
            )
        before = record.get("input")
        if isinstance(before, dict):
            self._refuse_another(before, json.loads(json.dumps(fingerprint)))
        else:
            self._compare_rows(source, end)
            source.close()
            source = self._open_input(requests)
        return FirstRows(source, end), Identity(input=fingerprint, path=path_of(source))

    def _refuse_another(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        if before != now:
            raise ConfigError(
                f"the input is not that of {self._sink.shown}: {input_difference(before, now)}",
                option="requests",
            )

    def _compare_rows(self, source: Source, end: int) -> None:
        """Compare the input with the rows themselves: of a file nobody recorded what it was made from."""
        asked = {row["index"]: row for row in self._sink.rows()}
        for index, request in enumerate(islice(source, end)):
            row = asked.pop(index, None)
            if row is not None and (words := difference(row, request)):
                raise ConfigError(
                    f"the input is not that of {self._sink.shown}: row {index} was {words}",
                    option="requests",
                )
        if asked:
            raise ConfigError(
                f"the input is not that of {self._sink.shown}: it ends before row {min(asked)}",
                option="requests",
            )
