"""The asyncio verbs: the loop stays free, cancelling cancels, and the sync verbs work inside a loop too."""

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import hurtle
from hurtle.formats.jsonl import JsonlWriter
from hurtle.rows import Rows
from hurtle.testing import Server


def hurtle_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("hurtle-")]


async def wait_for_no_threads() -> None:
    deadline = time.monotonic() + 5
    while hurtle_threads() and time.monotonic() < deadline:  # noqa: ASYNC110 - threads set no event
        await asyncio.sleep(0.01)
    assert hurtle_threads() == []


def test_astream_gives_each_row_once(hurtle_server: Server) -> None:
    async def main() -> list[int]:
        urls = [hurtle_server.url(f"/bytes/{n % 10}") for n in range(2000)]
        return [response.index async for response in hurtle.astream(urls, concurrency_per_host=64)]

    assert sorted(asyncio.run(main())) == list(range(2000))


def test_astream_takes_an_async_iterable_that_waits_for_responses(hurtle_server: Server) -> None:
    async def main() -> int:
        frontier: asyncio.Queue[str] = asyncio.Queue()
        frontier.put_nowait(hurtle_server.url("/bytes/0"))

        async def urls() -> AsyncIterator[str]:
            for _ in range(50):
                yield await frontier.get()

        count = 0
        async for response in hurtle.astream(urls()):
            count += 1
            frontier.put_nowait(response.url)
        return count

    assert asyncio.run(asyncio.wait_for(main(), 30)) == 50


def test_an_async_iterable_that_never_waits_is_read_lazily(hurtle_server: Server) -> None:
    pulled = 0

    async def urls() -> AsyncIterator[str]:
        nonlocal pulled
        while True:
            pulled += 1
            yield hurtle_server.url("/bytes/1")

    async def main() -> None:
        stream = hurtle.astream(urls())
        async for response in stream:
            if response.index >= 100:
                break
        await stream.aclose()  # type: ignore[attr-defined]
        await wait_for_no_threads()

    asyncio.run(main())
    # A loop that is never given back could not even be cancelled.
    assert 100 <= pulled < 100_000


def test_the_loop_stays_free_while_responses_are_awaited(hurtle_server: Server) -> None:
    async def main() -> float:
        longest = 0.0

        async def tick() -> None:
            nonlocal longest
            while True:
                before = time.monotonic()
                await asyncio.sleep(0.005)
                longest = max(longest, time.monotonic() - before)

        ticking = asyncio.create_task(tick())
        await hurtle.afetch([hurtle_server.url("/delay/300")])
        ticking.cancel()
        return longest

    assert asyncio.run(main()) < 0.2


def test_ordered_gives_input_order(hurtle_server: Server) -> None:
    async def main() -> list[int]:
        urls = [hurtle_server.url(f"/delay/{10 if n % 20 == 0 else 0}") for n in range(200)]
        return [response.index async for response in hurtle.astream(urls, ordered=True)]

    assert asyncio.run(main()) == list(range(200))


def test_on_error_raise_raises(hurtle_server: Server) -> None:
    async def main() -> None:
        async for _ in hurtle.astream(["http://name.invalid/"], on_error="raise"):
            pass

    with pytest.raises(hurtle.errors.DnsError):
        asyncio.run(main())


def test_what_the_async_iterable_raises_comes_after_the_rows_before_it(hurtle_server: Server) -> None:
    async def urls() -> AsyncIterator[str]:
        for _ in range(30):
            yield hurtle_server.url("/bytes/1")
        raise KeyError("mine")

    rows: list[hurtle.Response] = []

    async def main() -> None:
        async for response in hurtle.astream(urls()):
            rows.append(response)  # noqa: PERF401 - a comprehension would lose the rows with the exception

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(main())
    assert len(rows) == 30


def test_cancelling_the_task_cancels_what_is_in_flight(hurtle_server: Server) -> None:
    async def urls() -> AsyncIterator[str]:
        yield hurtle_server.url("/delay/30000")
        await asyncio.sleep(3600)

    async def main() -> None:
        task = asyncio.create_task(hurtle.afetch(urls()))
        while not hurtle_server.stats()["in_flight"]:  # noqa: ASYNC110 - the server's counters set no event
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await wait_for_no_threads()

    started = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - started < 10


def test_a_stream_that_is_dropped_ends_its_threads(hurtle_server: Server) -> None:
    async def main() -> None:
        async for _ in hurtle.astream([hurtle_server.url("/bytes/1")] * 1000):
            break
        gc.collect()
        await wait_for_no_threads()

    asyncio.run(main())


def test_arun_writes_the_table(hurtle_server: Server, tmp_path: Path) -> None:
    async def main() -> hurtle.Summary:
        async with hurtle.Client() as client:
            return await client.arun([hurtle_server.url("/bytes/1")] * 300, tmp_path / "out.jsonl")

    assert asyncio.run(main()).ok == 300
    assert len((tmp_path / "out.jsonl").read_bytes().splitlines()) == 300


def test_cancelling_arun_waits_for_the_write_that_runs(
    hurtle_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = threading.Event()
    goes_on = threading.Event()
    events: list[str] = []
    write, close = JsonlWriter.write, JsonlWriter.close

    def slow_write(self: JsonlWriter, rows: Rows) -> None:
        inside.set()
        goes_on.wait(10)
        write(self, rows)
        events.append("written")

    def noted_close(self: JsonlWriter) -> None:
        events.append("closed")
        close(self)

    monkeypatch.setattr(JsonlWriter, "write", slow_write)
    monkeypatch.setattr(JsonlWriter, "close", noted_close)

    async def main() -> None:
        task = asyncio.create_task(hurtle.arun([hurtle_server.url("/bytes/1")] * 5, tmp_path / "out.jsonl"))
        await asyncio.to_thread(inside.wait, 10)
        task.cancel()
        await asyncio.sleep(0.05)
        assert not task.done()
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert events[0] == "written"
    assert events[-1] == "closed"
    (part,) = (tmp_path / "out.jsonl.run").glob("part-*")
    assert 0 < len(part.read_bytes().splitlines()) <= 5


def test_cancelling_arun_while_it_opens_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = threading.Event()
    opened = JsonlWriter.open

    def slow_open(self: JsonlWriter) -> None:
        inside.set()
        time.sleep(0.1)
        opened(self)

    monkeypatch.setattr(JsonlWriter, "open", slow_open)

    async def main() -> None:
        task = asyncio.create_task(hurtle.arun(["http://127.0.0.1:1/"], tmp_path / "out.jsonl"))
        await asyncio.to_thread(inside.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".tmp"]


def test_a_source_that_raises_cancelled_error_is_no_early_end(hurtle_server: Server) -> None:
    async def urls() -> AsyncIterator[str]:
        yield hurtle_server.url("/bytes/1")
        raise asyncio.CancelledError("mine")

    rows: list[hurtle.Response] = []

    async def main() -> None:
        async for response in hurtle.astream(urls()):
            rows.append(response)  # noqa: PERF401 - a comprehension would lose the rows with the exception

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert len(rows) == 1


def test_what_the_progress_callback_raises_ends_the_call(hurtle_server: Server, tmp_path: Path) -> None:
    def urls() -> Iterator[str]:
        while True:
            yield hurtle_server.url("/delay/5")

    def stop(counters: Any) -> None:
        if counters.done >= 20:
            raise KeyError("mine")

    async def main() -> None:
        await hurtle.arun(urls(), tmp_path / "async.jsonl", progress=stop)

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(asyncio.wait_for(main(), 20))
    with pytest.raises(KeyError, match="mine"):
        hurtle.run(urls(), tmp_path / "sync.jsonl", progress=stop)
    for name in ("async.jsonl", "sync.jsonl"):
        parts = (tmp_path / f"{name}.run").glob("part-*")
        assert sum(len(part.read_bytes().splitlines()) for part in parts) >= 20


def test_the_sync_verbs_work_inside_a_running_loop(hurtle_server: Server) -> None:
    async def main() -> int:
        return len(hurtle.fetch([hurtle_server.url("/bytes/1")] * 5))

    assert asyncio.run(main()) == 5


def test_progress_is_called_on_the_loop(hurtle_server: Server) -> None:
    seen: list[tuple[int, int]] = []

    async def main() -> None:
        await hurtle.afetch(
            [hurtle_server.url("/delay/250")] * 2,
            progress=lambda counters: seen.append((counters.done, threading.get_ident())),
        )

    asyncio.run(main())
    assert seen[-1][0] == 2
    assert {thread for _, thread in seen} == {threading.get_ident()}


def test_many_streams_at_once_need_no_executor(hurtle_server: Server) -> None:
    async def main() -> list[int]:
        async with hurtle.Client(concurrency_per_host=64) as client:
            runs = [client.afetch([hurtle_server.url("/delay/20")] * 5) for _ in range(40)]
            return [len(results) for results in await asyncio.gather(*runs)]

    assert asyncio.run(asyncio.wait_for(main(), 30)) == [5] * 40
