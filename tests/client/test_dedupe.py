"""Identical requests once: what counts as identical, and that every row still gets its own answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars
import pytest

import hurtle
from hurtle._engine import identify
from hurtle.client.dedupe import Deduped, Identity
from hurtle.client.feed import CHUNK, Feeder
from hurtle.client.reorder import Window
from hurtle.models import BadRow, Group, Row
from hurtle.testing import Server


class Rows:
    """A reader of given rows."""

    def __init__(self, rows: list[Row], error: Exception | None = None) -> None:
        self.rows = rows
        self.error = error
        self.closed = False

    def take(self, limit: int) -> list[Row]:
        taken, self.rows = self.rows[:limit], self.rows[limit:]
        if not taken and self.error is not None:
            raise self.error
        return taken

    def close(self) -> None:
        self.closed = True


def by_text(rows: Sequence[Row]) -> list[Identity | str]:
    """Use the text as the identity; "bad" has none."""
    return ["input.url" if row == "bad" else ("host", False, str(row).encode()) for row in rows]


def one_identity(*rows: Row) -> bool:
    """Whether all of the rows send the same request."""
    found = identify(rows)
    assert not any(isinstance(one, str) for one in found), found
    return len({one[2] for one in found}) == 1


URL = "http://a.example/x?y=1"


@pytest.mark.parametrize(
    "other",
    [
        URL,
        "HTTP://A.Example:80/x?y=1",
        URL + "#part",
        hurtle.Request(URL, id="other", meta={"a": 1}, priority=7),
        hurtle.Request("http://a.example/x", params={"y": 1}),
        hurtle.Request(URL, "get"),
    ],
)
def test_requests_are_one_when_they_are_sent_alike(other: Row) -> None:
    assert one_identity(URL, other)


@pytest.mark.parametrize(
    "other",
    [
        "https://a.example/x?y=1",
        "http://a.example:8080/x?y=1",
        "http://a.example/X?y=1",
        "http://me:secret@a.example/x?y=1",
        hurtle.Request(URL, "HEAD"),
        hurtle.Request(URL, headers={"accept": "text/html"}),
        hurtle.Request(URL, content=b""),
        hurtle.Request(URL, timeout=3),
        hurtle.Request(URL, params={"z": 1}),
    ],
)
def test_requests_are_two_when_anything_sent_differs(other: Row) -> None:
    assert not one_identity(URL, other)


def test_no_part_of_a_request_can_pass_for_another() -> None:
    assert not one_identity(
        hurtle.Request(URL, "POST", headers={"a": "1"}, content=b"b:2"),
        hurtle.Request(URL, "POST", headers={"a": "1", "b": "2"}, content=b""),
        hurtle.Request(URL, "POST", content=b"\na:1\n\nb:2"),
    )
    credentials = hurtle.Request(URL, auth=("me", "secret"))
    assert one_identity("http://me:secret@a.example/x?y=1", credentials)


def test_what_cannot_be_sent_is_named_by_its_code() -> None:
    rows: list[Row] = [
        "nonsense",
        "ftp://a.example/",
        BadRow("input.row", "torn"),
        hurtle.Request(URL, "CONNECT"),
    ]
    assert identify(rows) == ["input.url", "input.scheme", "input.row", "input.header"]
    assert identify(["https://[::1]:8443/"])[0][:2] == ("::1", True)


def test_the_first_of_a_group_carries_the_others() -> None:
    source = Rows(["a", "b", "a", "bad", "c", "bad", "a"])
    deduped = Deduped(source, by_text)
    assert deduped.take(2) == [Group(0, "a", ((2, "a"), (6, "a"))), Group(1, "b")]
    assert deduped.take(9) == [Group(3, "bad"), Group(4, "c"), Group(5, "bad")]
    assert deduped.take(9) == []
    assert deduped.copied == 2
    deduped.close()
    assert source.closed


def test_groups_reach_over_chunks_and_equal_texts_are_kept_once() -> None:
    rows: list[Row] = [f"url {n % 7}" + "" for n in range(3 * CHUNK)]
    groups = Deduped(Rows(rows), by_text).take(100)
    assert [group.index for group in groups] == list(range(7))
    assert sorted(index for group in groups for index, _ in group.copies) == list(range(7, 3 * CHUNK))
    assert all(row is group.row for group in groups for _, row in group.copies)


def test_rows_before_a_failing_source_are_sent_and_then_it_raises() -> None:
    deduped = Deduped(Rows(["a", "a", "b"], OSError("torn")), by_text)
    assert deduped.take(10) == [Group(0, "a", ((1, "a"),)), Group(2, "b")]
    with pytest.raises(OSError, match="torn"):
        deduped.take(10)


def test_reading_stops_when_it_is_closed() -> None:
    deduped = Deduped(Rows(["a", "b"]), by_text)
    deduped.close()
    assert deduped.take(10) == []


def test_the_window_hears_of_every_row_before_the_last_group() -> None:
    told = []

    class Listening(Window):
        def sent(self, rows: int) -> None:
            told.append(rows)
            super().sent(rows)

    job: Any = SimpleNamespace(submit=lambda rows: True, finish=lambda: None)
    rows: list[Row] = ["a", "a", "a", "b", "a"]
    assert Feeder(job, Deduped(Rows(rows), by_text), Listening(rows=10, held_bytes=100)).result()
    assert told == [4]


def mixed(server: Server) -> list[Any]:
    """Nine rows, five requests, one of them a POST, and twice a row that is not a request."""
    url, other = server.url("/bytes/10"), server.url("/bytes/20")
    return [
        url, other, url + "#top", {"url": url, "id": "third", "meta": {"n": 3}}, "nonsense", "nonsense",
        {"url": url, "method": "POST", "content": "x"}, url, hurtle.Request(url, headers={"x-a": "1"}),
    ]  # fmt: skip


def test_i8_every_row_gets_the_answer_under_its_own_name(hurtle_server: Server) -> None:
    rows = mixed(hurtle_server)
    results = hurtle.fetch(rows, dedupe=True)
    assert hurtle_server.stats()["requests"] == 4
    assert [response.index for response in results] == list(range(9))
    assert [len(response.content) for response in results[:4]] == [10, 20, 10, 10]
    assert (results[3].id, results[3].meta, results[2].id) == ("third", {"n": 3}, "2")
    assert results[2].url == rows[2]
    assert results[2].final_url == rows[2]
    codes = [response.error.code if response.error else None for response in results]
    assert codes == [None] * 4 + ["input.url"] * 2 + [None] * 3
    assert results[0].headers == results[7].headers


def test_the_summary_counts_rows_and_says_how_few_were_sent(hurtle_server: Server) -> None:
    summary = hurtle.fetch(mixed(hurtle_server), dedupe=True).summary()
    assert (summary.requests, summary.ok, summary.failed, summary.copied) == (9, 7, 2, 3)
    assert summary.attempts == 4
    assert "  deduped      4 requests sent for 9 rows" in str(summary).splitlines()
    assert "deduped" not in str(hurtle.fetch([hurtle_server.url("/bytes/1")], dedupe=True).summary())


def test_a_failure_is_every_copys_failure(hurtle_server: Server) -> None:
    url = hurtle_server.url("/status/503")
    results = hurtle.fetch([url] * 5, dedupe=True, retries=hurtle.Retry(total=1, backoff=0))
    assert [(response.status, response.attempts, len(response.attempt_log)) for response in results] == [
        (503, 2, 2)
    ] * 5
    assert hurtle_server.stats()["requests"] == 2


def test_a_redirect_is_followed_once(hurtle_server: Server) -> None:
    url = hurtle_server.url("/redirect/2")
    results = hurtle.fetch([url] * 4, dedupe=True)
    assert hurtle_server.stats()["requests"] == 3
    assert {len(response.redirects) for response in results} == {2}
    assert {response.url for response in results} == {url}
    assert len({response.final_url for response in results}) == 1


def test_a_job_that_is_cut_short_still_has_a_row_for_each(hurtle_server: Server) -> None:
    urls = [hurtle_server.url(f"/delay/200?{n % 3}") for n in range(30)]
    results = hurtle.fetch(urls, dedupe=True, max_duration=0.1, concurrency_per_host=1)
    assert [response.index for response in results] == list(range(30))
    codes = [response.error.code if response.error else None for response in results]
    assert codes == codes[:3] * 10
    assert "timeout.job" in codes


def test_order_holds_when_copies_are_answered_long_before_their_turn(hurtle_server: Server) -> None:
    large = hurtle_server.url("/bytes/60000")
    urls = [large] + [hurtle_server.url(f"/bytes/{n}") for n in range(1500)] + [large] * 40
    found = hurtle.stream(urls, dedupe=True, ordered=True, max_buffer="1MiB")
    assert [response.index for response in found] == list(range(len(urls)))


def test_run_and_stream_arrow_have_a_row_for_each(hurtle_server: Server, tmp_path: Path) -> None:
    urls = [hurtle_server.url(f"/bytes/{n % 10}") for n in range(1000)]
    summary = hurtle.run(urls, tmp_path / "out.jsonl", dedupe=True, ordered=True)
    assert (summary.requests, summary.copied) == (1000, 990)
    rows = polars.read_ndjson(tmp_path / "out.jsonl", infer_schema_length=None)
    assert rows["index"].to_list() == list(range(1000))
    assert rows["bytes_body"].to_list() == [n % 10 for n in range(1000)]
    frame = polars.DataFrame(hurtle.stream_arrow(urls, dedupe=True)).sort("index")
    assert frame["url"].to_list() == urls
    assert hurtle_server.stats()["requests"] == 20


def test_an_async_iterable_is_read_to_its_end_first(hurtle_server: Server) -> None:
    async def rows() -> AsyncIterator[str]:
        for number in range(50):
            assert hurtle_server.stats()["requests"] == 0
            await asyncio.sleep(0)
            yield hurtle_server.url(f"/bytes/{number % 5}")

    results = asyncio.run(hurtle.afetch(rows(), dedupe=True))
    assert [response.index for response in results] == list(range(50))
    assert hurtle_server.stats()["requests"] == 5


def test_leaving_a_stream_early_ends_an_endless_input(hurtle_server: Server) -> None:
    def rows() -> Iterator[str]:
        while True:
            time.sleep(0.001)
            yield hurtle_server.url("/bytes/1")

    with hurtle.Client() as client:
        results = client.fetch(rows(), dedupe=True, max_duration=0.1)
    assert len({response.index for response in results}) == len(results) > 1
    assert hurtle_server.stats()["requests"] <= 1


def test_the_input_is_not_kept_when_nothing_repeats(hurtle_server: Server) -> None:
    urls = [hurtle_server.url(f"/bytes/1?{n}") for n in range(100)]
    results = hurtle.fetch(urls, dedupe=True)
    assert results.summary().copied == 0
    assert hurtle_server.stats()["requests"] == 100


def test_the_command_sends_them_once_too(
    hurtle_server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from hurtle.cli.main import main

    out = tmp_path / "out.jsonl"
    assert main(["fetch", "--dedupe", "-o", str(out), *[hurtle_server.url("/bytes/3")] * 4]) == 0
    assert hurtle_server.stats()["requests"] == 1
    assert len(out.read_text(encoding="utf-8").splitlines()) == 4
    assert "  deduped      1 request sent for 4 rows\n" in capsys.readouterr().err


def test_a_run_that_is_gone_on_with_counts_only_its_own_copies(hurtle_server: Server, tmp_path: Path) -> None:
    urls = [hurtle_server.url(f"/delay/{n % 40}") for n in range(280)]
    out = tmp_path / "out.sqlite"

    def stop(counters: Any) -> None:
        if counters.done >= 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hurtle.run(urls, out, dedupe=True, concurrency=2, progress=stop)
    summary = hurtle.run(urls, out, dedupe=True)
    assert 100 <= summary.resumed < 280
    assert summary.requests == 280 - summary.resumed
    assert summary.attempts == summary.requests - summary.copied > 0
    assert "more than requests" not in str(summary)
    assert f"{summary.attempts} request" in str(summary)
    again = hurtle.run(urls, out, dedupe=True)
    assert (again.requests, again.copied, again.resumed) == (0, 0, 280)
