"""One run: source, client and sink joined. The only place that joins them."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from hurtle.client import AsyncInput, EngineClient, Input, RowReorder, Rows, Transfer
from hurtle.errors import SinkError
from hurtle.options import Options
from hurtle.sinks import Sink

if TYPE_CHECKING:
    from hurtle._engine import Batch, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a job left: its last counters, the seconds it took, lines passed over, rows that were copies."""

    counters: "Progress"
    seconds: float
    skipped: int
    copied: int


class Job:
    """Sends every row of a source and writes one row of the result table for each.

    The sink is the job's from its opening to its end. What has come is kept when the run is interrupted or
    the source fails; a sink that failed, or that was interrupted half-way through a write, is dropped.

    Args:
        client: Who sends.
        source: The rows.
        sink: Where results go; not open yet.
        options: The job's options, resolved.
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
        progress: "Callable[[Progress], None] | None" = None,
        observe: Callable[[Rows], None] | None = None,
        at_end: Callable[[], None] | None = None,
    ) -> None:
        self._transfer = Transfer(client, source, options, progress=progress, at_end=at_end)
        self._sink = sink
        self._sink_is_open = False
        self._reorder = RowReorder(self._transfer.window) if options.ordered else None
        self._observe = observe

    def run(self) -> Outcome:
        """Run to the end.

        Raises:
            ConfigError: The output cannot be opened; nothing was sent.
            SinkError: The output could not be written.
            RequestError: With `on_error="raise"`, the first row's error; rows up to its batch are kept.
            BaseException: What the source raised, after the rows that came before it, or a callback.
        """
        try:
            self._open()
            for batch in self._transfer.batches():
                self._take(batch)
            self._sink.close()
        except BaseException as error:
            try:
                self._transfer.close()
            finally:
                self._leave(error)
            raise
        return self._outcome()

    async def arun(self) -> Outcome:
        """Run to the end on the running event loop; batches are written on a thread of the loop's executor.

        Raises:
            BaseException: As `run`.
        """
        batches = self._transfer.abatches()
        try:
            await _on_a_thread(self._open)
            async for batch in batches:
                await _on_a_thread(self._take, batch)
            await _on_a_thread(self._sink.close)
        except BaseException as error:
            try:
                await batches.aclose()
                self._transfer.close(wait=False)  # one that never started has no generator to close
            finally:
                await _on_a_thread(self._leave, error)
            raise
        return self._outcome()

    def _open(self) -> None:
        self._sink.open()
        self._sink_is_open = True

    def _take(self, batch: "Batch") -> None:
        self._write(batch if self._reorder is None else self._reorder.pass_on(batch))
        if self._transfer.raises:
            deque(self._transfer.checked(batch), maxlen=0)

    def _write(self, rows: Rows) -> None:
        if len(rows):
            self._sink.write(rows)
            if self._observe is not None:
                self._observe(rows)

    def _leave(self, error: BaseException) -> None:
        if not self._sink_is_open or isinstance(error, (SinkError, BrokenPipeError)):
            self._sink.abort()
            return
        # The first error is the one to report; a second one on the way out would hide it.
        with suppress(SinkError):
            if self._reorder is not None and (rest := self._reorder.rest()):
                self._sink.write(rest)
            self._sink.close()

    def _outcome(self) -> Outcome:
        transfer = self._transfer
        return Outcome(
            counters=transfer.counters(),
            seconds=transfer.seconds,
            skipped=transfer.skipped,
            copied=transfer.copied,
        )


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
