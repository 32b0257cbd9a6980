"""Bring rows from a source to a job on a separate thread, so that no iterator ever blocks the consumer."""

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from threading import Event, Thread
from typing import TYPE_CHECKING, Protocol

from hurtle.client.inbox import Inbox
from hurtle.client.reorder import Window
from hurtle.models import Group, Row

if TYPE_CHECKING:
    from hurtle._engine import Job

CHUNK = 1024
"""The most rows of one submit: enough to make the cost per row of crossing the boundary negligible."""

FIRST_CHUNK = 32
"""The first submit of a steady source: small, so that sending begins at once. The size then doubles."""

JOIN_S = 1.0
"""Seconds to wait at the end of a transfer for a thread that may be blocked in a caller's iterator."""


class Input(Protocol):
    """The input of a transfer: rows, and how they arrive.

    Attributes:
        total: How many rows there are; None if not known yet.
        steady: Whether the next row is always available (a list, a file): then rows are taken in chunks.
        skipped: Blank lines and comments skipped so far.
    """

    @property
    def total(self) -> int | None: ...  # noqa: D102 - above
    @property
    def steady(self) -> bool: ...  # noqa: D102
    @property
    def skipped(self) -> int: ...  # noqa: D102
    def __iter__(self) -> Iterator[Row]: ...
    def close(self) -> None:
        """Release what the source holds open. The thread that iterates calls it."""


class AsyncInput(Protocol):
    """The input of a transfer on an event loop."""

    @property
    def total(self) -> int | None: ...  # noqa: D102 - as in Input
    @property
    def skipped(self) -> int: ...  # noqa: D102
    def __aiter__(self) -> AsyncIterator[Row]: ...


class Reader(Protocol):
    """Rows of a source, in chunks."""

    def take(self, limit: int) -> list[Row]:
        """Return up to `limit` rows, at least one, or none at the end. Raises what the source raised."""

    def close(self) -> None:
        """Stop reading. Callable from any thread, more than once."""


class Chunks(Protocol):
    """Rows to submit, in chunks, alone or with their copies."""

    def take(self, limit: int) -> Sequence[Row | Group]:
        """Return up to `limit` rows, at least one, or none at the end. Raises what the source raised."""

    def close(self) -> None:
        """Stop reading. Callable from any thread, more than once."""


class SteadyChunks:
    """Chunks of a source whose next row is always available."""

    def __init__(self, source: Input) -> None:
        self._source = source
        self._rows = iter(source)
        self._size = FIRST_CHUNK
        self._error: BaseException | None = None

    def take(self, limit: int) -> list[Row]:
        """Return the next rows. Each chunk is twice as long as the last, up to the limit."""
        rows: list[Row] = []
        if self._error is None:
            try:
                rows.extend(islice(self._rows, min(self._size, limit)))
            except Exception as error:  # noqa: BLE001 - raised below, after the rows that came before it
                self._error = error
        if not rows and self._error is not None:
            raise self._error
        self._size = min(2 * self._size, CHUNK)
        return rows

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class LiveChunks:
    """Chunks of a source that may block: a thread pulls rows into a buffer.

    Args:
        source: The rows.
        until: The instant of `time.monotonic()` after which no row is taken, because a source may be endless.
    """

    def __init__(self, source: Input, until: float | None) -> None:
        self._source = source
        self._room = Event()
        self._inbox = Inbox(self._room.set, until)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._pull, name="hurtle-input", daemon=True)
        self._thread.start()

    def _pull(self) -> None:
        try:
            for row in self._source:
                self._inbox.add(row)
                while self._inbox.must_wait():
                    self._room.wait()
                    self._room.clear()
                if self._inbox.ended:
                    break
        except BaseException as error:  # noqa: BLE001 - whatever the caller's iterator raised goes to the caller
            self._error = error
        finally:
            self._source.close()
            self._inbox.end()

    def take(self, limit: int) -> list[Row]:
        """Return the rows so far, waiting for the first one."""
        rows = self._inbox.take(limit)
        if not rows and self._error is not None:
            raise self._error
        return rows

    def close(self) -> None:
        """Stop pulling after the current row."""
        self._inbox.end()


class Feeder:
    """The thread that submits rows to a job until the source ends, the job is cancelled or the source raises.

    Args:
        job: Receives the rows.
        chunks: Supplies the rows.
        window: How far ahead of the consumer it may submit; None: as far as the job allows.
    """

    def __init__(self, job: "Job", chunks: Chunks, window: Window | None = None) -> None:
        self._job = job
        self._chunks = chunks
        self._window = window
        self._error: BaseException | None = None
        self._cut_short = False
        self._thread = Thread(target=self._run, name="hurtle-feed", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        sent = 0
        try:
            while True:
                limit = CHUNK if self._window is None else min(CHUNK, self._window.wait())
                rows = self._chunks.take(limit) if limit else ()
                if not rows:
                    break
                if not self._job.submit(rows):
                    self._cut_short = True
                    break
                last = rows[-1]
                # Every row before a group was submitted with its own group or as a copy in an earlier one.
                sent = last.index + 1 if isinstance(last, Group) else sent + len(rows)
                if self._window is not None:
                    self._window.sent(sent)
        except BaseException as error:  # noqa: BLE001 - raised again in the consumer, after the rows so far
            self._error = error
        finally:
            self._chunks.close()
            self._job.finish()

    def result(self) -> bool:
        """Return whether every row was submitted. Call it when the job is done.

        Raises:
            BaseException: What the source raised.
        """
        self._thread.join(JOIN_S)
        if self._error is not None:
            raise self._error
        return not self._cut_short

    def stop(self, *, wait: bool = True) -> None:
        """Stop feeding; the job must be cancelled already. Idempotent.

        Args:
            wait: Wait for the thread, JOIN_S at most. An event loop must not wait.
        """
        self._chunks.close()
        if self._window is not None:
            self._window.close()
        if wait:
            self._thread.join(JOIN_S)
