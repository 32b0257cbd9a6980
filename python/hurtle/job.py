"""One run: the only place that joins source, client and sink."""

from collections import deque
from collections.abc import AsyncGenerator, Callable, Container
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from hurtle.client import AsyncInput, EngineClient, Input, Precautions, RowReorder, Transfer
from hurtle.errors import ConfigError, JournalError, LedgerError, SinkError
from hurtle.options import Options
from hurtle.outputs import Identity, Resume
from hurtle.outputs.ledger import NotedElsewhere, unsettled
from hurtle.positions import Done
from hurtle.rows import Rows
from hurtle.sinks import Sink
from hurtle.stops import STOPPED, stops_held

if TYPE_CHECKING:
    from hurtle._engine import Batch, Progress
    from hurtle.refresh import Refresh


GRACE_S = 5.0
"""Seconds for requests in flight to finish after a request to stop; a second one ends the run at once."""

TICK_S = 0.1
"""Seconds between two ticks of a sink while an event loop gets no rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The numbers of a job that has ended.

    Attributes:
        counters: Its last counters.
        seconds: How long it took.
        skipped: Lines of the input that were skipped.
        copied: Rows that are copies of another row's answer.
        resumed: Rows that were done before.
        resumed_failed: How many of those are not ok.
    """

    counters: "Progress"
    seconds: float
    skipped: int
    copied: int
    resumed: int = 0
    resumed_failed: int = 0


class Job:
    """Sends every row of a source and writes one row of the result table for each.

    The job owns the sink. If the run is interrupted or the source fails, the rows so far are kept, and
    another run can resume from there.

    Args:
        client: Sends.
        source: The rows.
        sink: Where results go; not begun yet.
        options: The job's options, resolved.
        identity: What the run is.
        resume: What to do with a run that the output holds.
        resend_unknown: Whether to send requests again that may have arrived and must not be sent twice.
        refresh: The comparison with an earlier run; the job closes it.
        progress: Called with the job's counters, about ten times a second.
        resumed: Called once, before anything is sent, with the number of rows that the output has already.
        observe: Called with rows once they are written.
        at_end: Called once when the job has ended, however it ended.
    """

    def __init__(
        self,
        client: EngineClient,
        source: Input | AsyncInput,
        sink: Sink,
        options: Options,
        *,
        identity: Identity,
        resume: Resume = "auto",
        resend_unknown: bool = False,
        refresh: "Refresh | None" = None,
        progress: "Callable[[Progress], None] | None" = None,
        resumed: Callable[[int], None] | None = None,
        observe: Callable[[Rows], None] | None = None,
        at_end: Callable[[], None] | None = None,
    ) -> None:
        self._client = client
        self._source = source
        self._sink = sink
        self._options = options
        self._identity = identity
        self._resume: Resume = resume
        self._resend_unknown = resend_unknown
        self._refresh = refresh
        self._progress = progress
        self._resumed = resumed
        self._observe = observe
        self._at_end = at_end
        self._done = Done()
        self._begun: _Begun | None = None
        self._waits_at: str | None = None
        self._is_out_of_order = False
        self._ticks = True

    @property
    def waits_at(self) -> str | None:
        """Where an interrupted run can be resumed; None: it cannot, or was not interrupted."""
        return self._waits_at

    @property
    def is_out_of_order(self) -> bool:
        """Whether an interrupted run has rows whose earlier rows are still missing."""
        return self._is_out_of_order

    def run(self) -> Outcome:
        """Run to the end.

        Raises:
            ConfigError: The output cannot be written, or holds another run; nothing was sent.
            SinkError: The output could not be written.
            JournalError: Progress could not be recorded.
            RequestError: With `on_error="raise"`, the first error; the rows up to its batch are kept.
            BaseException: From the source, after the rows before it, or from a callback.
        """
        try:
            begun = self._begin()
            try:
                for batch in begun.transfer.batches():
                    self._take(begun, batch)
            except STOPPED:
                # An output that fails meanwhile gets no more rows; the first error is the one to report.
                with suppress(SinkError, JournalError):
                    self._drain(begun)
                raise
            self._sink.close()
        except BaseException as error:
            try:
                self._end()
            finally:
                self._leave(error)
            raise
        finally:
            self._forget()
        return self._outcome(begun)

    async def arun(self) -> Outcome:
        """Run to the end on the running event loop; batches are written on a thread of the loop's executor.

        Raises:
            BaseException: As `run`.
        """
        batches: AsyncGenerator[Batch, None] | None = None
        self._ticks = False  # counters arrive on the loop, while a thread may be writing
        try:
            begun = await _on_a_thread(self._begin)
            batches = begun.transfer.abatches()
            while (batch := await self._next(batches)) is not None:
                await _on_a_thread(self._take, begun, batch)
            await _on_a_thread(self._sink.close)
        except BaseException as error:
            try:
                if batches is not None:
                    await batches.aclose()
                self._end(wait=False)  # a transfer that never started has no generator to close
            finally:
                await _on_a_thread(self._leave, error)
            raise
        finally:
            self._forget()
        return self._outcome(begun)

    async def _next(self, batches: "AsyncGenerator[Batch, None]") -> "Batch | None":
        """Return the next batch; until it is there, let the sink commit what has waited long enough."""
        from asyncio import ensure_future, wait

        coming = ensure_future(anext(batches, None))
        try:
            while not coming.done():
                await wait([coming], timeout=TICK_S)
                if not coming.done():
                    await _on_a_thread(self._sink.tick)
            return coming.result()
        finally:
            if coming.cancel():
                await wait([coming])

    def _begin(self) -> "_Begun":
        """Begin or resume the output's run, and prepare to send what is not done."""
        if self._refresh is not None:
            self._identity = replace(self._identity, since=self._refresh.load())
        done = self._sink.begin(self._identity, self._resume)
        self._done = done
        if self._resumed is not None:
            self._resumed(len(done))
        if self._resend_unknown and self._sink.ledger_elsewhere is not None:
            self._sink.take_ledger()
        ledger, elsewhere = self._sink.ledger_path, self._sink.ledger_elsewhere
        noted = frozenset[int]() if ledger is None else unsettled(ledger, done)
        unknown: Container[int] = noted if elsewhere is None else NotedElsewhere(elsewhere)
        is_resumed = bool(done or noted or elsewhere)
        if self._options.ordered and done.end > len(done):
            raise ConfigError(
                "ordered: this run has rows whose earlier rows are missing; resume without it, and sort by"
                " the column index",
                option="ordered",
            )
        transfer = Transfer(
            self._client,
            self._source,
            self._options,
            progress=self._told,
            at_end=self._at_end,
            done=done if is_resumed else None,
            precautions=Precautions(
                ledger=ledger,
                unknown=None if self._resend_unknown else unknown,
                fingerprint=self._identity.input,
            ),
            records_exchanges=self._sink.records_exchanges,
            keeps_codings=self._sink.keeps_codings,
            body_folder=self._sink.body_folder,
            hashes_bodies=self._sink.hashes_bodies,
            conditional=None if self._refresh is None else self._refresh.conditional,
            drains=True,
        )
        reorder = RowReorder(transfer.window, done.end) if self._options.ordered else None
        self._begun = _Begun(transfer, reorder)
        return self._begun

    def _told(self, counters: "Progress") -> None:
        if self._progress is not None:
            self._progress(counters)
        if self._ticks:
            self._sink.tick()

    def _take(self, begun: "_Begun", batch: "Batch") -> None:
        # A request to stop between reading and writing would lose the rows.
        with stops_held():
            rows: Rows = batch if begun.reorder is None else begun.reorder.pass_on(batch)
            if len(rows):
                rows = rows if self._refresh is None else self._refresh.compared(rows)
                self._sink.write(rows)
        if len(rows) and self._observe is not None:
            self._observe(rows)
        if begun.transfer.raises:
            deque(begun.transfer.checked(batch), maxlen=0)

    def _drain(self, begun: "_Begun") -> None:
        """Start nothing more, and take what is in flight, for GRACE_S at most."""
        for batch in begun.transfer.last_batches(GRACE_S):
            self._take(begun, batch)

    def _end(self, *, wait: bool = True) -> None:
        if self._begun is not None:
            self._begun.transfer.close(wait=wait)
        elif self._at_end is not None:
            self._at_end()

    def _leave(self, error: BaseException) -> None:
        begun = self._begun
        # A broken ledger says nothing about the sink: the rows so far are worth keeping.
        of_sink = isinstance(error, (SinkError, JournalError)) and not isinstance(error, LedgerError)
        if begun is None or of_sink or isinstance(error, BrokenPipeError):
            waits_at = self._sink.abort()
            self._waits_at = None if begun is None else waits_at
            return
        # The first error is the one to report; a second one here would hide it.
        with suppress(SinkError, JournalError):
            if begun.reorder is not None and (rest := begun.reorder.rest()) and self._keeps(rest):
                self._sink.write(rest if self._refresh is None else self._refresh.compared(rest))
                self._is_out_of_order = True
            self._waits_at = self._sink.leave()

    def _keeps(self, rest: Rows) -> bool:
        """Whether to write rows whose earlier rows are missing.

        A run that can be resumed requests them again, in their order; but not what must not be sent twice.
        """
        can_resume = self._sink.ledger_path is not None
        return not can_resume or rest.unrepeatable > 0

    def _forget(self) -> None:
        """Close the earlier run."""
        if self._refresh is not None:
            self._refresh.close()

    def _outcome(self, begun: "_Begun") -> Outcome:
        transfer = begun.transfer
        return Outcome(
            counters=transfer.counters(),
            seconds=transfer.seconds,
            skipped=transfer.skipped,
            copied=transfer.copied,
            resumed=len(self._done),
            resumed_failed=self._done.failed,
        )


class _Begun:
    """A run that has begun."""

    def __init__(self, transfer: Transfer, reorder: RowReorder | None) -> None:
        self.transfer = transfer
        self.reorder = reorder


_P = ParamSpec("_P")
_T = TypeVar("_T")


async def _on_a_thread(call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call on a thread of the loop's executor and wait until it returns, even if the task is cancelled.

    A thread cannot be cancelled: if it were left behind, it could write to a sink that is being closed.
    """
    from asyncio import CancelledError, get_running_loop, shield, wait
    from functools import partial

    future = get_running_loop().run_in_executor(None, partial(call, *args, **kwargs))
    cancelled: CancelledError | None = None
    while not future.done():
        try:
            await shield(wait([future]))
        except CancelledError as error:
            cancelled = error
    if cancelled is not None:
        future.exception()  # retrieved: asyncio logs an exception that never is
        raise cancelled
    return future.result()
