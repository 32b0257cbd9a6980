"""One run: source, client and sink joined. The only place that joins them."""

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
"""Seconds that what is in flight has when the run is asked to stop; a second request ends it at once."""

TICK_S = 0.1
"""Seconds after which a sink is asked what has waited long enough, while no rows come to an event loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a job left.

    Its last counters, the seconds it took, lines passed over, rows that were copies, rows done before, and
    how many of those are not ok.
    """

    counters: "Progress"
    seconds: float
    skipped: int
    copied: int
    resumed: int = 0
    resumed_failed: int = 0


class Job:
    """Sends every row of a source and writes one row of the result table for each.

    The sink is the job's from its beginning to its end. What has come is kept when the run is interrupted or
    the source fails, and another run can go on from there.

    Args:
        client: Who sends.
        source: The rows.
        sink: Where results go; not begun yet.
        options: The job's options, resolved.
        identity: What the run is.
        resume: What to do with a run that the output holds.
        resend_unknown: Whether to send requests again that may have arrived and must not be sent twice.
        refresh: The comparison with an earlier run; it is the job's to close.
        progress: Called with the job's counters, about ten times a second.
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
        self._observe = observe
        self._at_end = at_end
        self._done = Done()
        self._begun: _Begun | None = None
        self._waits_at: str | None = None
        self._is_out_of_order = False
        self._ticks = True

    @property
    def waits_at(self) -> str | None:
        """Where a run that was interrupted waits for another to go on with it."""
        return self._waits_at

    @property
    def is_out_of_order(self) -> bool:
        """Whether rows were written, when it was interrupted, whose earlier ones are still to come."""
        return self._is_out_of_order

    def run(self) -> Outcome:
        """Run to the end.

        Raises:
            ConfigError: The output cannot be written, or holds another run; nothing was sent.
            SinkError: The output could not be written.
            JournalError: What is done could not be recorded.
            RequestError: With `on_error="raise"`, the first row's error; rows up to its batch are kept.
            BaseException: What the source raised, after the rows that came before it, or a callback.
        """
        try:
            begun = self._begin()
            try:
                for batch in begun.transfer.batches():
                    self._take(begun, batch)
            except STOPPED:
                # An output that breaks meanwhile takes nothing more; the first reason is the one to report.
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
        self._ticks = False  # counters come on the loop, while a thread may be writing
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
                self._end(wait=False)  # one that never started has no generator to close
            finally:
                await _on_a_thread(self._leave, error)
            raise
        finally:
            self._forget()
        return self._outcome(begun)

    async def _next(self, batches: "AsyncGenerator[Batch, None]") -> "Batch | None":
        """Return the next batch; while none comes, let the sink commit what has waited long enough."""
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
        """Begin the output's run, or go on with it; then send what is not done."""
        if self._refresh is not None:
            self._identity = replace(self._identity, since=self._refresh.load())
        done = self._sink.begin(self._identity, self._resume)
        self._done = done
        if self._resend_unknown and self._sink.ledger_elsewhere is not None:
            self._sink.take_ledger()
        ledger, elsewhere = self._sink.ledger_path, self._sink.ledger_elsewhere
        noted = frozenset[int]() if ledger is None else unsettled(ledger, done)
        unknown: Container[int] = noted if elsewhere is None else NotedElsewhere(elsewhere)
        goes_on = bool(done or noted or elsewhere)
        if self._options.ordered and done.end > len(done):
            raise ConfigError(
                "ordered: rows of this run are there whose earlier ones are not; go on without it, and sort"
                " by the column index",
                option="ordered",
            )
        transfer = Transfer(
            self._client,
            self._source,
            self._options,
            progress=self._told,
            at_end=self._at_end,
            done=done if goes_on else None,
            precautions=Precautions(
                ledger=ledger,
                unknown=None if self._resend_unknown else unknown,
                fingerprint=self._identity.input,
            ),
            records_exchanges=self._sink.records_exchanges,
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
        # Rows on their way between two hands would be lost to whoever asks for the end meanwhile.
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
        """Start nothing more, and take what is in flight, for as long as GRACE_S."""
        for batch in begun.transfer.last_batches(GRACE_S):
            self._take(begun, batch)

    def _end(self, *, wait: bool = True) -> None:
        if self._begun is not None:
            self._begun.transfer.close(wait=wait)
        elif self._at_end is not None:
            self._at_end()

    def _leave(self, error: BaseException) -> None:
        begun = self._begun
        # A ledger that broke says nothing against the sink: what has come is worth keeping.
        of_sink = isinstance(error, (SinkError, JournalError)) and not isinstance(error, LedgerError)
        if begun is None or of_sink or isinstance(error, BrokenPipeError):
            waits_at = self._sink.abort()
            self._waits_at = None if begun is None else waits_at
            return
        # The first error is the one to report; a second one on the way out would hide it.
        with suppress(SinkError, JournalError):
            if begun.reorder is not None and (rest := begun.reorder.rest()) and self._keeps(rest):
                self._sink.write(rest if self._refresh is None else self._refresh.compared(rest))
                self._is_out_of_order = True
            self._waits_at = self._sink.leave()

    def _keeps(self, rest: Rows) -> bool:
        """Whether rows are written whose earlier ones never came.

        Where another run goes on, they are asked for again, and come in their order; but not what must not be
        sent twice.
        """
        can_go_on = self._sink.ledger_path is not None
        return not can_go_on or rest.unrepeatable > 0

    def _forget(self) -> None:
        """Let go of the earlier run."""
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
    """Call on a thread of the loop's executor and wait for its end, also when the task is cancelled.

    A thread cannot be cancelled: to leave it behind would let it write to a sink that is being closed.
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
        future.exception()  # looked at: asyncio logs one that nobody saw
        raise cancelled
    return future.result()
