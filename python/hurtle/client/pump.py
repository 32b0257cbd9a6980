"""Connects a job, whose calls block, to an event loop, which must not block."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Semaphore, Thread
from typing import TYPE_CHECKING

from hurtle.client.feed import AsyncInput
from hurtle.client.inbox import Inbox
from hurtle.models import Row

if TYPE_CHECKING:
    from hurtle._engine import Batch, Job, Progress

AHEAD = 2
"""Batches that may wait for the event loop; more would use memory without back-pressure."""


class Pump:
    """A thread that takes batches from a job and passes them to the running event loop, one wake-up each.

    It is a separate thread, not one of the loop's executor. It waits as long as the job runs, and would keep
    one of the executor's few threads from everybody else, and shutting the executor down would wait for it.
    """

    def __init__(self, job: "Job", progress: "Callable[[Progress], None] | None", tick_s: float) -> None:
        self._job = job
        self._progress = progress
        self._tick_s = tick_s
        self._loop = asyncio.get_running_loop()
        self._batches: asyncio.Queue[Batch | BaseException | None] = asyncio.Queue()
        self._room = Semaphore(AHEAD)
        Thread(target=self._run, name="hurtle-pump", daemon=True).start()

    def _run(self) -> None:
        end: BaseException | None = None
        try:
            self._take()
        except RuntimeError as error:
            if self._loop.is_closed():  # there is no consumer left
                self._job.cancel()
                return
            end = error
        except BaseException as error:  # noqa: BLE001 - raised again in the coroutine that waits
            end = error
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._batches.put_nowait, end)

    def _take(self) -> None:
        job, loop = self._job, self._loop
        watched = self._progress is not None
        due = 0.0
        while True:
            batch = job.next_batch(self._tick_s if watched else None)
            if batch is not None:
                self._room.acquire()
                loop.call_soon_threadsafe(self._batches.put_nowait, batch)
            elif job.done:
                return
            if watched and (batch is None or loop.time() >= due):
                loop.call_soon_threadsafe(self._report, job.progress())
                due = loop.time() + self._tick_s

    def _report(self, counters: "Progress") -> None:
        """Call back on the event loop; `get` raises what the callback raises, in its turn."""
        report = self._progress
        if report is None:
            return
        try:
            report(counters)
        except Exception as error:  # noqa: BLE001 - whatever the caller's function raised goes to the caller
            self._progress = None
            self._batches.put_nowait(error)

    async def get(self) -> "Batch | None":
        """Return the next batch; None when the job is done."""
        batch = await self._batches.get()
        self._room.release()
        if isinstance(batch, BaseException):
            raise batch
        return batch

    def close(self) -> None:
        """Release the thread; the job must be cancelled already."""
        self._room.release(AHEAD)


class AsyncChunks:
    """Chunks of an async iterable: a task pulls on the event loop, the feeding thread takes the rows."""

    def __init__(self, source: AsyncInput, until: float | None) -> None:
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._inbox = Inbox(self._wake, until)
        self._error: BaseException | None = None
        self._closing = False
        self._task = self._loop.create_task(self._pull(), name="hurtle-input")

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nothing waits
            self._loop.call_soon_threadsafe(self._room.set)

    async def _pull(self) -> None:
        try:
            async for row in self._source:
                self._inbox.add(row)
                while self._inbox.must_wait():
                    await self._room.wait()
                    self._room.clear()
                if self._inbox.ended:
                    break
        except asyncio.CancelledError as error:
            # A caller's iterator may raise it too, for example for a cancelled task of its own.
            if not self._closing:
                self._error = error
            raise
        except Exception as error:  # noqa: BLE001 - whatever the caller's iterator raised goes to the caller
            self._error = error
        finally:
            self._inbox.end()

    def take(self, limit: int) -> list[Row]:
        """Return the rows so far, waiting for the first one."""
        rows = self._inbox.take(limit)
        if not rows and self._error is not None:
            raise self._error
        return rows

    def close(self) -> None:
        """Stop pulling: the task is cancelled where it waits."""
        self._closing = True
        self._inbox.end()
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._task.cancel)
