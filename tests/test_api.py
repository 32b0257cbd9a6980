"""The verbs on real sockets: lazy input, bounded memory, order, errors as data, and how a stream ends."""

import asyncio
import gc
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars
import pyarrow
import pytest

import hurtle
from hurtle.errors import ConfigError
from hurtle.testing import Server

FAST: Any = {"concurrency_per_host": 64, "retries": 0}


def hurtle_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("hurtle-")]


def test_stream_gives_each_row_once(hurtle_server: Server) -> None:
    urls = [hurtle_server.url(f"/bytes/{n % 50}?{n}") for n in range(3000)]
    seen: dict[int, str] = {}
    for response in hurtle.stream(urls, **FAST):
        assert response.ok
        assert len(response.content) == response.index % 50
        seen[response.index] = response.url
    assert seen == dict(enumerate(urls))
    assert hurtle_threads() == []


def test_stream_sends_nothing_until_it_is_iterated(hurtle_server: Server) -> None:
    stream = hurtle.stream([hurtle_server.url("/bytes/1")])
    del stream
    gc.collect()
    assert hurtle_server.stats()["requests"] == 0


def test_ordered_gives_input_order_when_responses_do_not(hurtle_server: Server) -> None:
    urls = [hurtle_server.url(f"/delay/{20 if n % 40 == 0 else 0}") for n in range(400)]
    assert [response.index for response in hurtle.stream(urls, ordered=True, **FAST)] == list(range(400))
    assert [response.index for response in hurtle.stream(iter(urls), ordered=True, **FAST)] == list(
        range(400)
    )


def test_fetch_takes_ordered_and_waits_for_nothing(hurtle_server: Server) -> None:
    results = hurtle.fetch([hurtle_server.url("/bytes/1")] * 3000, ordered=True, **FAST)
    assert [response.index for response in results] == list(range(3000))


def test_ordered_reads_no_further_than_its_window(hurtle_server: Server) -> None:
    pulled = 0

    def urls() -> Iterator[str]:
        nonlocal pulled
        yield hurtle_server.url("/delay/300")
        for number in range(20_000):
            pulled = number
            yield hurtle_server.url("/bytes/1")

    stream = hurtle.stream(urls(), ordered=True, **FAST)
    assert next(stream).index == 0
    assert pulled < 4096
    stream.close()  # type: ignore[attr-defined]


def test_an_endless_generator_is_read_lazily_and_break_cancels(hurtle_server: Server) -> None:
    pulled = 0

    def urls() -> Iterator[str]:
        nonlocal pulled
        while True:
            pulled += 1
            yield hurtle_server.url("/bytes/10")

    for count, _ in enumerate(hurtle.stream(urls(), **FAST)):
        if count == 100:
            break
    gc.collect()
    assert hurtle_threads() == []
    after = pulled
    assert after < 100_000
    time.sleep(0.05)
    assert pulled == after


def test_a_url_is_sent_while_the_iterator_waits_for_its_response(hurtle_server: Server) -> None:
    frontier: queue.Queue[str] = queue.Queue()
    frontier.put(hurtle_server.url("/bytes/0"))
    frontier.put(hurtle_server.url("/bytes/1"))

    def urls() -> Iterator[str]:
        for _ in range(100):
            yield frontier.get(timeout=10)

    for count, _response in enumerate(hurtle.stream(urls())):
        frontier.put(hurtle_server.url(f"/bytes/{count + 2}"))
    assert count == 99


def test_what_the_iterator_raises_comes_after_the_rows_before_it(hurtle_server: Server) -> None:
    def urls() -> Iterator[str]:
        for number in range(500):
            yield hurtle_server.url(f"/bytes/{number}")
        raise KeyError("mine")

    rows: list[hurtle.Response] = []
    with pytest.raises(KeyError, match="mine"):
        rows.extend(hurtle.stream(urls(), **FAST))
    assert len(rows) == 500


def test_what_a_list_of_its_own_kind_raises_comes_after_the_rows_before_it(hurtle_server: Server) -> None:
    class Rows(list[str]):
        def __iter__(self) -> Iterator[str]:
            yield from [hurtle_server.url("/bytes/1")] * 45
            raise KeyError("mine")

    rows: list[hurtle.Response] = []
    with pytest.raises(KeyError, match="mine"):
        rows.extend(hurtle.stream(Rows(["x"]), **FAST))
    assert len(rows) == 45


def test_i6_s15_bad_rows_are_rows_and_the_others_do_not_notice(hurtle_server: Server) -> None:
    good = hurtle_server.url("/bytes/3")
    rows: Any = [
        good,
        "nonsense",
        "ftp://127.0.0.1/",
        "http://127.0.0.1:1/",
        "http://name.invalid/",
        hurtle_server.tls_url("/bytes/3"),
        {"url": good, "headers": {"a": "b\r\nc"}},
        {"url": good, "method": "G\nT"},
        {"uri": good},
        {"url": good, "json": float("nan")},
        None,
        "http://\ud800/",
        good,
    ]
    results = hurtle.fetch(rows, retries=0)
    assert [response.error and response.error.code for response in results] == [
        None,
        "input.url",
        "input.scheme",
        "connect.refused",
        "dns.not_found",
        "tls.unknown_ca",
        "input.header",
        "input.header",
        "input.row",
        "input.row",
        "input.row",
        "input.url",
        None,
    ]
    assert [response.index for response in results.failed] == list(range(1, 12))
    assert all(response.content == b"" for response in results.failed)


def test_a_request_is_sent_as_it_was_written(hurtle_server: Server) -> None:
    request = hurtle.Request(
        hurtle_server.url("/echo?own=1"),
        "PUT",
        params={"a": "b c"},
        headers=[("x-two", "1"), ("x-two", "2")],
        cookies={"c": "d"},
        data={"k": "v"},
        auth=("user", "pass"),
        id="mine",
        meta={"n": [1]},
    )
    (response,) = hurtle.fetch([request], params={"all": "1"}, headers={"x-all": "yes"})
    echo = response.json()
    assert (echo["method"], echo["path"], echo["body"]) == ("PUT", "/echo", "k=v")
    assert echo["query"].split("&") == ["own=1", "all=1", "a=b+c"]
    headers = [tuple(pair) for pair in echo["headers"]]
    for pair in [
        ("x-two", "1"),
        ("x-two", "2"),
        ("cookie", "c=d"),
        ("x-all", "yes"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("authorization", "Basic dXNlcjpwYXNz"),
    ]:
        assert pair in headers
    assert (response.id, response.meta) == ("mine", {"n": [1]})
    assert response.request is request


def test_ids_and_meta_that_cannot_be_written_fail_their_row_alone(hurtle_server: Server) -> None:
    good = hurtle_server.url("/bytes/3")
    rows: Any = [
        {"url": good, "id": 10**5000},
        {"url": good, "id": "\ud800"},
        {"url": good, "headers": {"a": "\ud800"}},
        {"url": good, "auth": "\ud800"},
        {"url": good, "params": "\ud800"},
        good,
    ]
    codes = [response.error and response.error.code for response in hurtle.fetch(rows, retries=0)]
    assert codes == ["input.row"] * 5 + [None]


def test_fetch_gives_input_order_and_a_summary(hurtle_server: Server) -> None:
    urls = [hurtle_server.url(f"/status/{200 if n % 3 else 404}") for n in range(30)]
    results = hurtle.fetch(urls, **FAST)
    assert [response.url for response in results] == urls
    assert [response.index for response in results[3:6]] == [3, 4, 5]
    summary = results.summary()
    assert (summary.requests, summary.ok, summary.failed) == (30, 20, 10)
    assert summary.statuses == {200: 20, 404: 10}
    assert set(summary.total) == {"p50", "p95", "p99", "max"}
    assert len(results.failed) == 10
    table = results.to_arrow()
    assert table["index"].to_pylist() == list(range(30))
    assert repr(results) == "<Results: 30 responses, 10 failed>"


@pytest.mark.parametrize(
    "verb",
    [
        lambda urls, _folder: list(hurtle.stream(urls, on_error="raise")),
        lambda urls, _folder: hurtle.fetch(urls, on_error="raise"),
        lambda urls, folder: hurtle.run(urls, folder / "out.jsonl", on_error="raise"),
    ],
    ids=["stream", "fetch", "run"],
)
def test_on_error_raise_raises_the_first_failure(hurtle_server: Server, tmp_path: Path, verb: Any) -> None:
    urls = [hurtle_server.url("/bytes/1"), "http://name.invalid/"]
    with pytest.raises(hurtle.errors.DnsError) as caught:
        verb(urls, tmp_path)
    assert caught.value.code == "dns.not_found"


def test_stream_arrow_is_read_by_others(hurtle_server: Server) -> None:
    urls = [hurtle_server.url(f"/bytes/{n}") for n in range(100)]
    table = pyarrow.table(hurtle.stream_arrow(urls, **FAST))
    assert sorted(table["bytes_body"].to_pylist()) == list(range(100))
    frame = polars.DataFrame(hurtle.stream_arrow(urls, **FAST))
    assert frame["bytes_body"].sum() == sum(range(100))
    options: Any
    for options in ({"ordered": True}, {"on_error": "raise"}):
        with pytest.raises(hurtle.ConfigError, match="stream_arrow"):
            hurtle.stream_arrow(urls, **options)


def test_progress_is_called_with_counters(hurtle_server: Server) -> None:
    seen: list[int] = []
    hurtle.fetch([hurtle_server.url("/delay/150")] * 4, progress=lambda counters: seen.append(counters.done))
    assert seen == sorted(seen)
    assert len(seen) >= 2
    assert seen[-1] == 4


def test_max_duration_ends_an_endless_iterator_and_fails_the_rest_of_a_list(hurtle_server: Server) -> None:
    def urls() -> Iterator[str]:
        while True:
            yield hurtle_server.url("/delay/5")

    started = time.monotonic()
    assert list(hurtle.stream(urls(), max_duration=0.2))
    assert time.monotonic() - started < 5
    results = hurtle.fetch([hurtle_server.url("/delay/50")] * 200, max_duration=0.2, concurrency=5)
    assert len(results) == 200
    assert {response.error.code for response in results if response.error} == {"timeout.job"}


def test_a_client_keeps_its_connections(hurtle_server: Server) -> None:
    with hurtle.Client(**FAST) as client:
        for _ in range(3):
            assert all(response.ok for response in client.fetch([hurtle_server.url("/bytes/1")] * 3))
        assert client.fetch([hurtle_server.url("/bytes/1")] * 3).summary().connections == 0
    assert hurtle_server.stats()["connections"] <= 9


def test_two_calls_share_a_client_at_the_same_time(hurtle_server: Server) -> None:
    with hurtle.Client(**FAST) as client:
        one = client.stream([hurtle_server.url("/bytes/1")] * 500)
        two = client.stream([hurtle_server.url("/bytes/2")] * 500)
        pairs = [(len(a.content), len(b.content)) for a, b in zip(one, two, strict=True)]
    assert pairs == [(1, 2)] * 500


def test_a_closed_client_says_so(hurtle_server: Server) -> None:
    client = hurtle.Client()
    client.close()
    client.close()
    assert client.closed
    with pytest.raises(hurtle.ClosedError):
        client.stream([])
    with pytest.raises(hurtle.ClosedError), client:
        pass


def test_closing_a_client_ends_a_stream_with_an_error_and_not_early(hurtle_server: Server) -> None:
    client = hurtle.Client(**FAST)
    stream = client.stream(hurtle_server.url("/bytes/1") for _ in range(10**6))
    next(stream)
    client.close()
    with pytest.raises(hurtle.ClosedError):
        list(stream)


def test_options_of_the_client_are_refused_for_a_call() -> None:
    with hurtle.Client() as client, pytest.raises(hurtle.ConfigError, match="belongs to the client"):
        client.stream([], concurrency=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("verb", [hurtle.stream, hurtle.fetch, hurtle.stream_arrow])
def test_wrong_options_raise_before_anything_is_sent(verb: Any, hurtle_server: Server) -> None:
    with pytest.raises(hurtle.ConfigError, match="concurrency=0"):
        verb([hurtle_server.url("/bytes/1")], concurrency=0)
    with pytest.raises(hurtle.ConfigError, match="did you mean timeout"):
        verb([hurtle_server.url("/bytes/1")], timout=1)
    assert hurtle_server.stats()["requests"] == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"resume": "restart"}, r"resume='restart': must be True, False or None; restart=True starts over"),
        ({"resume": 1}, "resume=1: must be"),
        ({"restart": "no"}, "restart='no': must be True or False"),
        ({"resend_unknown": "no"}, "resend_unknown='no': must be True or False"),
        ({"since": 3}, "since=3: must be the output of an earlier run"),
    ],
    ids=str,
)
def test_what_a_run_does_with_an_earlier_one_is_never_guessed(
    tmp_path: Path, hurtle_server: Server, given: dict[str, Any], words: str
) -> None:
    urls, out = [hurtle_server.url("/bytes/1")], tmp_path / "parts"
    hurtle.run(urls, f"{out}/")
    asked = hurtle_server.stats()["requests"]
    calls: list[Callable[[], object]] = [
        lambda: hurtle.run(urls, out, **given),
        lambda: asyncio.run(hurtle.arun(urls, out, **given)),
    ]
    if given.keys() & {"restart", "resend_unknown"}:
        calls.append(lambda: hurtle.retry(out, urls, where="ok", **given))
    for call in calls:
        with pytest.raises(ConfigError, match=words) as refused:
            call()
        assert refused.value.option == next(iter(given))
    assert hurtle_server.stats()["requests"] == asked
    assert hurtle.open_run(out).rows == 1


def test_what_has_come_is_kept_when_the_source_of_a_run_fails(hurtle_server: Server, tmp_path: Path) -> None:
    def urls() -> Iterator[str]:
        for _ in range(100):
            yield hurtle_server.url("/bytes/1")
        raise KeyError("mine")

    with pytest.raises(KeyError):
        hurtle.run(urls(), tmp_path / "out.jsonl")
    (part,) = (tmp_path / "out.jsonl.run").glob("part-*")
    assert len(part.read_bytes().splitlines()) == 100


def test_i15_each_url_goes_by_its_own_scheme(hurtle_server: Server) -> None:
    urls = [hurtle_server.url("/bytes/1"), hurtle_server.tls_url("/bytes/2")] * 5
    results = hurtle.fetch(urls, verify=str(hurtle_server.ca_path))
    assert [len(response.content) for response in results] == [1, 2] * 5
    assert [response.final_url for response in results] == urls
