"""One run: source, client and sink joined. The only place that joins them."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hurtle.client import AsyncInput, EngineClient, Input, Transfer
from hurtle.errors import SinkError
from hurtle.options import Options
from hurtle.sinks import Sink

if TYPE_CHECKING:
    from hurtle._engine import Batch, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a job left: its last counters, the seconds it took, the lines of the input passed over."""

    counters: "Progress"
    seconds: float
    skipped: int


class Job:
    """Sends every row of a source and writes one row of the result table for each.

    The sink is open already and is closed in any case. What has come is kept when the run is interrupted or
    the source fails; a sink that failed is dropped.

    Args:
        client: Who sends.
        source: The rows.
        sink: Where results go.
        options: The job's options, resolved.
        progress: Called with the job's counters, about ten times a second.
        observe: Called with each batch once it is written.
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
        observe: "Callable[[Batch], None] | None" = None,
        at_end: Callable[[], None] | None = None,
    ) -> None:
        self._transfer = Transfer(client, source, options, progress=progress, at_end=at_end)
        self._sink = sink
        self._observe = observe
        self._raising = options.on_error == "raise"

    def run(self) -> Outcome:
        """Run to the end.

        Raises:
            SinkError: The output could not be written.
            RequestError: With `on_error="raise"`, the first row's error; rows up to its batch are kept.
            BaseException: What the source raised, after the rows that came before it.
        """
        try:
            for batch in self._transfer.batches():
                self._take(batch)
            self._sink.close()
        except BaseException as error:
            self._transfer.close()
            self._leave(error)
            raise
        return self._outcome()

    async def arun(self) -> Outcome:
        """Run to the end on the running event loop; batches are written on a thread of the loop's executor.

        Raises:
            BaseException: As `run`.
        """
        from asyncio import to_thread

        batches = self._transfer.abatches()
        try:
            async for batch in batches:
                await to_thread(self._take, batch)
            await to_thread(self._sink.close)
        except BaseException as error:
            await batches.aclose()
            self._leave(error)
            raise
        return self._outcome()

    def _take(self, batch: "Batch") -> None:
        self._sink.write(batch)
        if self._observe is not None:
            self._observe(batch)
        if self._raising:
            for response in batch:
                if response.error is not None:
                    raise response.error

    def _leave(self, error: BaseException) -> None:
        if isinstance(error, (SinkError, BrokenPipeError)):
            self._sink.abort()
            return
        # The first error is the one to report; a second one on the way out would hide it.
        with suppress(SinkError):
            self._sink.close()

    def _outcome(self) -> Outcome:
        transfer = self._transfer
        return Outcome(counters=transfer.counters(), seconds=transfer.seconds, skipped=transfer.skipped)
