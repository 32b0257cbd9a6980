"""What limits a job: the sentences, and real runs that are each limited by one thing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from time import monotonic, sleep
from typing import Any

import pytest

import hurtle
from hurtle.options import Options
from hurtle.report.bottleneck import CAUSES, LATELY_S, LEAST_LOOKS, Lately, Throttling, Waits, verdict
from hurtle.testing import Server
from tests.contracts.tree import ENGINE

SERVERS = {"queue": 500.0, "connect": 0.5, "first_byte": 9.0, "body": 0.5}
CONNECTING = {"queue": 500.0, "connect": 4.0, "tls": 4.0, "first_byte": 1.0}


def said(name: str, waits: Mapping[str, Any] | None = None, **options: Any) -> str:
    """Return the sentence for a job that was limited by one thing all the time."""
    given: dict[str, Any] = {"phases": SERVERS, "first_byte_s": 0.052} | dict(waits or {})
    return str(verdict(Waits(looks={name: 40}, **given), Options.resolve(options)))


def test_every_bottleneck_of_the_engine_has_its_words_in_the_same_order() -> None:
    source = (ENGINE / "job" / "bottleneck.rs").read_text(encoding="utf-8")
    assert re.findall(r'^    \w+ = "(\w+)";$', source, re.MULTILINE) == list(CAUSES)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("consumer", "the consumer: your code, or the output, is slower than the engine"),
        ("descriptors", "file descriptors: raise the limit (ulimit -n)"),
        ("cpu", "this machine's CPU: the engine's threads are busy"),
        ("concurrency", "concurrency=256 (the servers took 52 ms): raise concurrency"),
        ("throttled", "the hosts' own quotas (RateLimit headers): nothing is sent until a quota is back"),
        ("rate_limit", "Retry-After"),
        ("hosts_down", "hosts that are down: set retries.rounds below 6 to give them up sooner"),
        (
            "concurrency_per_host",
            "concurrency_per_host=10 (the servers took 52 ms): raise concurrency_per_host",
        ),
        ("input", "the input: it supplies fewer URLs than could be sent"),
        ("in_flight", "the servers' first byte (90% of the time in flight)"),
    ],
)
def test_each_bottleneck_is_one_sentence(name: str, sentence: str) -> None:
    assert said(name) == sentence


def test_the_values_are_those_in_force() -> None:
    assert said("cpu", threads=2) == "this machine's CPU: threads=2 are busy"
    assert said("concurrency", concurrency=3).startswith("concurrency=3 ")
    assert said("concurrency", concurrency="auto").endswith(": the most that auto has found so far")
    assert said("concurrency_per_host", concurrency_per_host="auto").startswith("concurrency_per_host=auto ")
    own = {"example.com": hurtle.Limits(concurrency=2)}
    assert said("concurrency_per_host", hosts=own).startswith("concurrency_per_host=10, or hosts ")
    assert said("hosts_down", retries={"rounds": 3}).startswith(
        "hosts that are down: set retries.rounds below 3"
    )


def test_the_rate_that_holds_a_job_up_is_named() -> None:
    assert said("rate_limit", rate_limit_per_host="100/min") == "rate_limit_per_host=100/min"
    assert said("rate_limit", rate_limit="auto") == "rate_limit=auto"
    both = {"rate_limit": "50/s", "rate_limit_per_host": "100/min"}
    half, full = ({"attempts": sent, "done": sent, "seconds": 10.0} for sent in (250, 499))
    assert said("rate_limit", half, **both) == "rate_limit=50/s or rate_limit_per_host=100/min"
    assert said("rate_limit", full, **both) == "rate_limit=50/s"
    one = {"a.example": hurtle.Limits(rate_limit="2/s"), "b.example": hurtle.Limits(rate_limit="none")}
    assert said("rate_limit", hosts=one) == "rate_limit=2/s of a.example"
    two = one | {"c.example": hurtle.Limits(rate_limit="3/s")}
    assert said("rate_limit", hosts=two) == "the rates of hosts"


def test_a_host_that_refuses_is_named_with_the_rate_that_it_accepts() -> None:
    def told(rate: float | None = 58.3, wait: float | None = 1.0, **options: Any) -> str:
        by = Throttling("api.example.com", 429, 7, wait, rate)
        return said("throttled", {"throttled_by": by}, **options)

    accepts = "throttled by api.example.com (429, wait 1 s): it accepts about 58/s"
    of_all = 'rate_limit_per_host="58/s" (--rate-limit-per-host 58/s) avoids the refusals'
    assert told() == f"{accepts}; {of_all}"
    assert told(rate_limit_per_host="100/s") == told()
    assert told(wait=None).startswith("throttled by api.example.com (429): ")
    assert told(rate=0.2).endswith(
        'about 12/min; rate_limit_per_host="12/min" (--rate-limit-per-host 12/min) avoids the refusals'
    )
    assert told(rate=1 / 600).endswith("(--rate-limit-per-host 6/h) avoids the refusals")
    assert told(rate=None).endswith('(429, wait 1 s): rate_limit_per_host="auto" finds its rate')
    assert told(rate_limit_per_host="auto") == accepts
    assert told(wait=4000.0).endswith(
        "(429, wait 1 h 06 min): longer than max_retry_after=2 min 00 s; try again after that time"
    )
    assert told(wait=4000.0, retries=hurtle.Retry(max_retry_after=5000)).endswith("avoids the refusals")
    for name in ("api.example.com", "*.example.com", "*.com"):
        own = {name: hurtle.Limits(rate_limit="90/s"), "b.example": hurtle.Limits(rate_limit="1/s")}
        assert told(hosts=own) == (
            accepts + '; hosts={"api.example.com": {"rate_limit": "58/s"}} avoids the refusals'
        )
    assert told(hosts={"*.example.com": hurtle.Limits(rate_limit="auto")}) == accepts
    assert told(hosts={"example.com": hurtle.Limits(rate_limit="9/s")}) == told()


def test_a_group_that_refuses_is_named_with_its_entry() -> None:
    def told(host: str, **options: Any) -> str:
        return said("throttled", {"throttled_by": Throttling(host, 429, 7, 1.0, 58.3)}, **options)

    group = "a.example, b.example"
    for limits in (hurtle.Limits(shared=True), hurtle.Limits(shared=True, rate_limit="90/s")):
        assert told(group, hosts={group: limits}) == (
            f"throttled by {group} (429, wait 1 s): it accepts about 58/s; "
            f'hosts={{"{group}": {{"rate_limit": "58/s", "shared": True}}}} avoids the refusals'
        )
    own = {"*.example.com": hurtle.Limits(rate_limit="90/s")}
    entry = 'hosts={"example.com": {"rate_limit": "58/s"}} avoids the refusals'
    assert told("example.com", limit_by="domain", hosts=own).endswith(entry)
    assert told("example.com", limit_by="domain").endswith("(--rate-limit-per-host 58/s) avoids the refusals")


def test_the_live_line_says_limited_by_where_the_cause_does_not() -> None:
    options = Options()
    for name, line in (("input", "limited by the input"), ("throttled", "throttled by a (503)")):
        found = verdict(Waits(looks={name: 40}, throttled_by=Throttling("a", 503, 1)), options)
        assert found is not None
        assert found.headline == line


def test_the_hosts_own_wishes_are_named_where_they_have_a_say() -> None:
    again = {"attempts": 12, "done": 10}
    assert said("rate_limit", again, rate_limit_per_host=5) == "rate_limit_per_host=5/s or Retry-After"
    assert said("rate_limit", robots=True) == "Crawl-delay"


def test_a_limit_that_names_or_connecting_keep_busy_says_so() -> None:
    assert said("concurrency", {"phases": CONNECTING}) == (
        "concurrency=256 (connecting is 89% of the time in flight): raise concurrency"
    )
    names = {"phases": {"dns": 3.0, "first_byte": 1.0}}
    assert "(DNS is 75% of the time in flight)" in said("concurrency_per_host", names)
    assert said("concurrency", {"phases": {}, "first_byte_s": None}) == "concurrency=256: raise concurrency"


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        ({"dns": 2.0, "first_byte": 1.0}, "DNS (67% of the time in flight)"),
        (CONNECTING, "connecting (89% of the time in flight)"),
        ({"first_byte": 1.0, "body": 3.0}, "the bodies (75% of the time in flight)"),
        ({"queue": 9.0}, "what is in flight"),
    ],
)
def test_what_is_in_flight_is_told_by_its_longest_phase(phases: dict[str, float], words: str) -> None:
    assert said("in_flight", {"phases": phases}) == words


def test_nothing_is_said_when_the_run_was_too_short_to_know() -> None:
    options = Options()
    assert verdict(Waits(looks={"input": LEAST_LOOKS - 1}), options) is None
    assert verdict(Waits(looks={"input": LEAST_LOOKS}), options) is not None


def test_what_was_seen_most_counts_and_of_two_the_first_in_the_engines_order() -> None:
    options = Options()
    assert str(verdict(Waits(looks={"cpu": 3, "input": 4}), options)).startswith("the input")
    assert str(verdict(Waits(looks={"input": 4, "cpu": 4}), options)).startswith("this machine's CPU")


def test_only_the_last_seconds_count_while_a_job_runs() -> None:
    lately = Lately()
    first = [Waits(looks={"input": 20 * at}, phases={"dns": 1.0 * at}, seconds=at) for at in range(10)]
    assert [lately.add(waits).looks["input"] for waits in first] == [0, 20, 40, *[20 * LATELY_S] * 7]
    then = [
        Waits(looks={"input": 180, "cpu": 20 * (at - 9)}, phases={"dns": 9.0}, seconds=at)
        for at in range(10, 13)
    ]
    recent = [lately.add(waits) for waits in then][-1]
    assert recent.looks == {"input": 0, "cpu": 20 * LATELY_S}
    assert recent.phases == {"dns": 0.0}


@pytest.fixture
def slow_server() -> Iterator[Server]:
    with Server(latency=0.05) as server:
        yield server


def limited_by(server: Server, requests: int, **options: Any) -> str:
    found = hurtle.fetch([server.url("/bytes/10")] * requests, **options).summary().limited_by
    assert found is not None
    return found


@pytest.mark.slow
def test_a_run_names_the_limit_per_host(slow_server: Server) -> None:
    sentence = limited_by(slow_server, 100)
    assert re.fullmatch(
        r"concurrency_per_host=10 \(the servers took \d+(\.\d)? ms\): raise concurrency_per_host", sentence
    )


@pytest.mark.slow
@pytest.mark.parametrize("option", ["rate_limit", "rate_limit_per_host"])
def test_a_run_names_the_rate(slow_server: Server, option: str) -> None:
    assert limited_by(slow_server, 40, **{option: "60/s"}) == f"{option}=60/s"


@pytest.mark.slow
def test_a_run_names_the_limit_over_all_hosts(slow_server: Server) -> None:
    sentence = limited_by(slow_server, 60, concurrency=5, concurrency_per_host=50)
    assert sentence.startswith("concurrency=5 (the servers took ")


@pytest.mark.slow
def test_a_run_names_the_input(slow_server: Server) -> None:
    def trickle() -> Iterator[str]:
        for _ in range(40):
            sleep(0.012)  # an input that is slow: what is tested
            yield slow_server.url("/bytes/10")

    summary = hurtle.fetch(trickle()).summary()
    assert summary.limited_by == "the input: it supplies fewer URLs than could be sent"


@pytest.mark.slow
def test_a_run_names_the_host_that_refuses_and_never_calls_it_down(hurtle_server: Server) -> None:
    urls = [hurtle_server.url(f"/limited?rate=60&per=1&retry_after=1&key=a&n={n}") for n in range(240)]
    seen: list[Any] = []
    summary = hurtle.fetch(urls, progress=seen.append).summary()
    assert summary.ok == 240
    found = re.fullmatch(
        r"throttled by 127\.0\.0\.1 \(429, wait 1 s\): it accepts about (\d+)/s;"
        r' rate_limit_per_host="\1/s" \(--rate-limit-per-host \1/s\) avoids the refusals',
        str(summary.limited_by),
    )
    assert found, summary.limited_by
    assert 0 < int(found[1]) <= 60
    assert summary.throttled_by is not None
    assert (summary.throttled_by.host, summary.throttled_by.status) == ("127.0.0.1", 429)
    assert 0 < summary.throttled <= summary.throttled_by.refusals < 60
    assert summary.throttled_for >= summary.throttled * 0.9
    assert f"  throttled    {summary.throttled} requests were told to wait, " in str(summary)
    assert str(summary).splitlines()[-1] == f"  {summary.limited_by}"
    assert any("throttled" in counters.limited_by for counters in seen)


@pytest.mark.slow
def test_a_run_names_the_servers_when_all_else_is_done(hurtle_server: Server) -> None:
    urls = [hurtle_server.url("/bytes/10")] * 20 + [hurtle_server.url("/delay/600")] * 2
    summary = hurtle.fetch(urls).summary()
    assert re.fullmatch(
        r"the servers' first byte \((9\d|100)% of the time in flight\)", str(summary.limited_by)
    )
    assert summary.phases["first_byte"] >= 1.2


@pytest.mark.slow
def test_a_run_names_the_consumer(hurtle_server: Server) -> None:
    last: list[Any] = []
    urls = [hurtle_server.url("/bytes/10")] * 4000
    start = monotonic()
    for position, _ in enumerate(hurtle.stream(urls, concurrency_per_host=64, progress=last.append)):
        if position % 100 == 0:
            sleep(0.02)  # a consumer that is slow: what is tested
    found = verdict(Waits.of(last[-1], monotonic() - start), Options())
    assert str(found).startswith("the consumer")


@pytest.mark.slow
def test_a_run_writes_what_held_it_up_into_its_numbers(slow_server: Server) -> None:
    summary = hurtle.fetch([slow_server.url("/bytes/10")] * 60).summary()
    numbers = summary.as_dict()
    assert numbers["limited_by"] == summary.limited_by
    assert numbers["bottlenecks"] == summary.bottlenecks
    assert max(summary.bottlenecks, key=summary.bottlenecks.__getitem__) == "concurrency_per_host"
    assert 60 * 0.05 <= summary.phases["first_byte"] < 60 * 0.5
    assert f"  limited by   {summary.limited_by}" in str(summary).splitlines()
