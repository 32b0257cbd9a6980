"""One job with its feeder, from first request to last row, drained by a `for` loop or an event loop."""

from collections.abc import AsyncGenerator, Callable, Container, Iterable, Iterator
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, cast

from hurtle import wire
from hurtle.client.dedupe import Deduped
from hurtle.client.engine_client import EngineClient
from hurtle.client.feed import AsyncInput, Chunks, Feeder, Input, LiveChunks, Reader, SteadyChunks
from hurtle.client.idempotency import FIELD, Keyed
from hurtle.client.precautions import Precautions
from hurtle.client.remaining import Remaining
from hurtle.client.reorder import LEAST_ROWS, Reorder, Window, in_order
from hurtle.disk import leave_folder, temporary_folder
from hurtle.errors import ClosedError
from hurtle.options import Options
from hurtle.stops import STOPPED

if TYPE_CHECKING:
    from hurtle._engine import Batch, Job, Progress, Response

ENDED: tuple[type[BaseException], ...] = (*STOPPED, GeneratorExit)
"""Exceptions that end an iteration from outside."""

TICK_S = 0.1
"""Seconds between two calls of a progress callback."""

BODIES_ABOVE = 256 << 10
"""Bodies of so many bytes or more go to the disk while they come, if they may."""


class Transfer:
    """Takes rows in, and hands batches or responses out.

    It starts when its one iteration starts. Leaving the iteration early cancels queued requests and those in
    flight.

    Args:
        client: The client whose engine sends.
        source: The rows.
        options: Reads `ordered`, `dedupe`, `idempotency_key`, `on_error`, `max_duration`, `body_folder` and
            the size of the reorder window.
        progress: Called with the job's counters, about every TICK_S, and once at the end. An exception from
            it ends the transfer and reaches the consumer, after the rows that were handed out before.
        at_end: Called once when the transfer has ended, however it ended.
        done: Positions of the input to leave out.
        records_exchanges: Whether rows keep their exchanges.
        keeps_codings: Whether bodies in memory keep their content codings.
        body_folder: Where the engine writes large bodies; None: they stay in memory.
        hashes_bodies: Whether it computes the SHA-256 of each of them.
        precautions: Keep requests from being sent twice, in a run that can be resumed.
        conditional: Adds conditions to requests.
        drains: Whether requests in flight continue when Ctrl-C or SIGTERM ends `batches` or its consumer, so
            that `last_batches` can yield them. The caller must then call `close`.
    """

    def __init__(
        self,
        client: EngineClient,
        source: Input | AsyncInput,
        options: Options,
        *,
        progress: "Callable[[Progress], None] | None" = None,
        at_end: Callable[[], None] | None = None,
        done: Container[int] | None = None,
        precautions: Precautions | None = None,
        records_exchanges: bool = False,
        keeps_codings: bool = False,
        body_folder: Path | None = None,
        hashes_bodies: bool = True,
        conditional: Callable[[Chunks], Chunks] | None = None,
        drains: bool = False,
    ) -> None:
        self._client = client
        self._source = source
        self._options = options
        self._progress = progress
        self._at_end = at_end
        self._done = done
        self._precautions = precautions
        self._records_exchanges = records_exchanges
        self._keeps_codings = keeps_codings
        self._body_folder = body_folder
        self._hashes_bodies = hashes_bodies
        self._conditional = conditional
        self._drains = drains
        self._started = 0.0
        self._ended = 0.0
        self._window: Window | None = None
        if options.ordered:
            self._window = Window(_rows_ahead(options), options.max_buffer)
        self._copying: Deduped | Remaining | None = None
        self._job: Job | None = None
        self._feeder: Feeder | None = None

    def _start(self) -> "tuple[Job, Feeder]":
        options = self._options
        self._started = monotonic()
        until = None if options.max_duration is None else self._started + options.max_duration
        if options.body_folder is not None:
            self._body_folder, self._hashes_bodies = temporary_folder(options.body_folder), False
        ledger = None if self._precautions is None else self._precautions.ledger
        self._job = self._client.engine().job(
            max_duration=options.max_duration,
            ledger=ledger,
            records_exchanges=self._records_exchanges,
            keeps_codings=self._keeps_codings,
            body_folder=self._body_folder,
            bodies_above=BODIES_ABOVE,
            hashes_bodies=self._hashes_bodies,
        )
        if self._window is not None:
            self._window.tell = self._job.hold_back
        chunks = self._chunks(_reader(self._source, until))
        self._feeder = Feeder(self._job, chunks, self._window)
        return self._job, self._feeder

    def _chunks(self, reader: Reader) -> Chunks:
        """Return the requests to send: without copies and done rows, with keys."""
        options, known = self._options, self._precautions or Precautions()
        chunks: Chunks = reader
        if options.dedupe:
            chunks = self._copying = _deduped(reader, options)
        if self._done is not None:
            is_timed = options.max_duration is not None
            # If a part of the input is done, only this object knows which copies belong to this transfer.
            chunks = self._copying = Remaining(chunks, self._done, known.unknown, is_timed=is_timed)
        if options.idempotency_key and not wire.has_field(options.headers, FIELD):
            chunks = Keyed(chunks, known.fingerprint, once=self._precautions is None)
        return chunks if self._conditional is None else self._conditional(chunks)

    def counters(self) -> "Progress":
        """Return the job's counters of this moment.

        Raises:
            ValueError: The transfer has not started.
        """
        if self._job is None:
            raise ValueError("the transfer has not started")
        return self._job.progress()

    @property
    def seconds(self) -> float:
        """Seconds from the start to the end, or until now."""
        return (self._ended or monotonic()) - self._started

    @property
    def skipped(self) -> int:
        """Blank lines and comments of the input."""
        return self._source.skipped

    @property
    def copied(self) -> int:
        """Rows that got the answer to another row's request, with `dedupe`."""
        return 0 if self._copying is None else self._copying.copied

    def close(self, *, wait: bool = True) -> None:
        """Cancel the rest and stop feeding. Idempotent.

        Args:
            wait: Wait for the feeding thread, for a second at most.
        """
        self._ended = self._ended or monotonic()
        if self._job is not None:
            self._job.cancel()
        if self._feeder is not None:
            self._feeder.stop(wait=wait)
        if self._options.body_folder is not None and self._body_folder is not None:
            leave_folder(self._body_folder)
        at_end, self._at_end = self._at_end, None
        if at_end is not None:
            at_end()

    @property
    def window(self) -> Window | None:
        """With `ordered`, how far rows are submitted ahead; the consumer of the batches has to move it."""
        return self._window

    def _reorder(self) -> "Reorder[Response] | None":
        return None if self._window is None else Reorder(self._window)

    @property
    def raises(self) -> bool:
        """Whether to raise the first failed row."""
        return self._options.on_error == "raise"

    def checked(self, rows: "Iterable[Response]") -> "Iterator[Response]":
        """Return the rows; with `on_error="raise"`, iterating them raises the first failed row's error."""
        return _raising(iter(rows)) if self.raises else iter(rows)

    def batches(self) -> "Iterator[Batch]":
        """Yield batches as they fill, in completion order.

        Raises:
            ClosedError: The client was closed in the meantime.
            BaseException: The exception of the source, after the rows before it, or of the progress callback.
        """
        report = self._progress
        due = 0.0
        try:
            job, feeder = self._start()
            while True:
                batch = job.next_batch(None if report is None else TICK_S)
                if came := batch is not None:
                    handed = [batch]
                    # Here nothing may keep the rows: those of the next batch need the memory.
                    del batch
                    yield handed.pop()
                elif job.done:
                    break
                # Only after handing out the batch: a callback that raises must not lose its rows.
                if report is not None and (not came or monotonic() >= due):
                    report(job.progress())
                    due = monotonic() + TICK_S
            self._finish(job, feeder)
        except ENDED:
            # The consumer may have been stopped, too, while it held a batch.
            if not self._drains:
                self.close()
            raise
        except BaseException:
            self.close()
            raise
        self.close()

    def last_batches(self, seconds: float) -> "Iterator[Batch]":
        """Start no more requests; yield those in flight as they end, for this many seconds at most."""
        job = self._job
        if job is None:
            return
        job.stop()
        end = monotonic() + seconds
        while monotonic() < end:
            in_flight = job.progress().in_flight
            batch = job.next_batch(TICK_S)
            if batch is not None:
                yield batch
            elif job.done or not in_flight:
                return

    def _finish(self, job: "Job", feeder: Feeder) -> None:
        self._ended = monotonic()
        counters = job.progress()
        if self._progress is not None:
            self._progress(counters)
        if not feeder.result() or counters.done < counters.submitted:
            raise ClosedError("the client was closed before every response had arrived")

    def responses(self) -> "Iterator[Response]":
        """Yield responses, in completion order or, with `ordered`, in input order.

        Raises:
            RequestError: With `on_error="raise"`, the first row's error.
        """
        reorder = self._reorder()
        try:
            for batch in self.batches():
                rows = self.checked(batch if reorder is None else in_order(batch, reorder))
                # The last row of a batch must not keep the others.
                del batch
                yield from rows
        finally:
            self.close()

    async def abatches(self) -> "AsyncGenerator[Batch, None]":
        """Yield batches as `batches` does, on the running event loop: one wake-up of the loop for each."""
        from hurtle.client.pump import Pump

        pump: Pump | None = None
        try:
            job, feeder = self._start()
            pump = Pump(job, self._progress, TICK_S)
            while (batch := await pump.get()) is not None:
                yield batch
            self._finish(job, feeder)
        finally:
            self.close(wait=False)
            if pump is not None:
                pump.close()

    async def aresponses(self) -> "AsyncGenerator[Response, None]":
        """Yield responses as `responses` does, on the running event loop."""
        reorder = self._reorder()
        batches = self.abatches()
        try:
            async for batch in batches:
                rows = self.checked(batch if reorder is None else in_order(batch, reorder))
                del batch
                for row in rows:
                    yield row
        finally:
            await batches.aclose()


def _raising(rows: "Iterator[Response]") -> "Iterator[Response]":
    for row in rows:
        if row.error is not None:
            raise row.error
        yield row


def _rows_ahead(options: Options) -> int:
    """Return how many rows may be submitted and not yet yielded in order."""
    if isinstance(options.concurrency, int):
        return max(4 * options.concurrency, LEAST_ROWS)
    return 4 * LEAST_ROWS


def _deduped(reader: Reader, options: Options) -> Deduped:
    from functools import partial

    from hurtle._engine import identify

    return Deduped(reader, partial(identify, params=options.params))


def _reader(source: Input | AsyncInput, until: float | None) -> Reader:
    """Choose how to read a source.

    A list or a file ends by itself, so each of its rows gets a result even after `max_duration`. An iterator
    may be endless and is not read further.
    """
    if hasattr(source, "__aiter__"):
        from hurtle.client.pump import AsyncChunks

        return AsyncChunks(cast("AsyncInput", source), until)
    return SteadyChunks(source) if source.steady else LiveChunks(source, until)
