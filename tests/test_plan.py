"""What a list would take: counts, times by the limits, and the sentences about them."""

import json
from pathlib import Path
from typing import Any

import pytest

import hurtle
from hurtle.planning.tally import Tally
from hurtle.testing import Server


def urls(host: str, count: int, scheme: str = "https") -> list[str]:
    return [f"{scheme}://{host}/{number}" for number in range(count)]


def of(plan: hurtle.Plan, host: str) -> Any:
    (found,) = [one for one in plan.hosts if one.host == host]
    return found


def test_a_list_is_counted_by_host_whatever_the_port_and_the_scheme() -> None:
    rows = ["http://A.example/", "https://a.example:8443/", "http://[::1]:80/", "https://münchen.example/x"]
    plan = hurtle.plan(rows)
    assert {host.host: host.requests for host in plan.hosts} == {
        "a.example": 2, "::1": 1, "xn--mnchen-3ya.example": 1,
    }  # fmt: skip
    assert (plan.rows, plan.requests, plan.http, plan.https) == (4, 4, 2, 2)


def test_nothing_is_sent(hurtle_server: Server) -> None:
    plan = hurtle.plan([hurtle_server.url("/bytes/1")] * 10)
    assert plan.requests == 10
    assert hurtle_server.stats()["connections"] == 0


def test_rows_that_cannot_be_sent_are_counted_by_code() -> None:
    rows: list[Any] = ["http://a.example/", "nonsense", "ftp://a.example/", "x y", {"method": "GET"}, 7]
    plan = hurtle.plan(rows)
    assert plan.errors == {"input.url": 2, "input.row": 2, "input.scheme": 1}
    assert (plan.rows, plan.requests) == (6, 1)


@pytest.mark.parametrize(
    ("limit", "count", "seconds"),
    [
        ("100/min", 301, 180.0),
        ("100/min burst 20", 301, 281 * 0.6),
        ("100/min burst 400", 301, 0.0),
        ("1000/day", 2, 86.4),
        (2, 1, 0.0),
        ("none", 1000, 0.0),
    ],
)
def test_a_rate_spaces_requests_from_the_first_to_the_last(limit: Any, count: int, seconds: float) -> None:
    plan = hurtle.plan(urls("a.example", count), rate_limit_per_host=limit, latency=1e-9)
    assert plan.hosts[0].rate_s == pytest.approx(seconds)
    assert plan.seconds == pytest.approx(seconds, abs=1e-6)
    whole = hurtle.plan(urls("a.example", count), rate_limit=limit)
    assert whole.rate_s == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("count", "in_flight", "seconds"), [(1, 10, 0.5), (10, 10, 0.5), (11, 10, 1.0), (90, 3, 15)]
)
def test_concurrency_takes_rounds_of_the_assumed_latency(count: int, in_flight: int, seconds: float) -> None:
    plan = hurtle.plan(urls("a.example", count), concurrency_per_host=in_flight, latency=0.5)
    assert plan.hosts[0].concurrency_s == pytest.approx(seconds)
    assert plan.seconds == pytest.approx(seconds)
    whole = hurtle.plan(
        urls("a.example", count), concurrency=in_flight, concurrency_per_host=100, latency=0.5
    )
    assert whole.concurrency_s == pytest.approx(seconds)


def test_a_hosts_own_limits_are_those_of_the_closest_name() -> None:
    rows = [f"http://{name}.example.com/" for name in ("a", "b", "x.deep")] + ["http://example.com/"]
    plan = hurtle.plan(
        [*rows, "http://[::1]/", "http://münchen.example/"],
        rate_limit_per_host="10/s",
        hosts={
            "*.example.com": hurtle.Limits(concurrency=2),
            "*.deep.example.com": hurtle.Limits(concurrency=3, rate_limit="none"),
            "A.example.com": hurtle.Limits(rate_limit="auto"),
            "[::1]": {"concurrency": 5},
            "münchen.example": {"concurrency": 6},
        },
    )
    found = {host.host: (host.concurrency, host.rate_limit) for host in plan.hosts}
    assert found == {
        "a.example.com": (10, "auto"),
        "b.example.com": (2, "10/s"),
        "x.deep.example.com": (3, None),
        "example.com": (10, "10/s"),
        "::1": (5, "10/s"),
        "xn--mnchen-3ya.example": (6, "10/s"),
    }


def test_hosts_that_share_limits_are_one() -> None:
    rows = [url for name in ("a.x.com", "b.x.com", "c.y.com", "münchen.org") for url in urls(name, 100)]
    rows += ["https://a.x.com/0"]
    by_domain = hurtle.plan(rows, limit_by="domain", hosts={"*.x.com": {"concurrency": 5}})
    assert {host.host: (host.requests, host.duplicates, host.concurrency) for host in by_domain.hosts} == {
        "x.com": (201, 1, 5), "y.com": (100, 0, 10), "xn--mnchen-3ya.org": (100, 0, 10),
    }  # fmt: skip
    group = "a.x.com, *.y.com, münchen.org"
    grouped = hurtle.plan(rows, hosts={group: hurtle.Limits(shared=True, rate_limit="1/s")})
    assert [(host.host, host.requests) for host in grouped.hosts] == [
        ("a.x.com, *.y.com, xn--mnchen-3ya.org", 301), ("b.x.com", 100),
    ]  # fmt: skip
    assert grouped.seconds == pytest.approx(300)
    shared = 'hosts={"a.x.com, *.y.com, xn--mnchen-3ya.org": Limits(shared=True, rate_limit="4/s")}'
    assert f"{shared} would make it" in grouped.advice[-1]


def test_an_address_is_not_looked_up_for_a_plan() -> None:
    rows = urls("a.example", 3) + urls("b.example", 3) + ["http://127.0.0.1/", "http://[::ffff:127.0.0.1]/"]
    plan = hurtle.plan(rows, limit_by="ip")
    assert {host.host: host.requests for host in plan.hosts} == {
        "a.example": 3,
        "b.example": 3,
        "127.0.0.1": 2,
    }
    assert any("No name is resolved" in sentence for sentence in plan.assumptions)


def test_the_slowest_host_is_named_with_all_else() -> None:
    rows = urls("api.x.com", 13_001) + urls("b.example", 3000) + urls("c.example", 100)
    plan = hurtle.plan(rows, hosts={"api.x.com": {"rate_limit": "100/min"}}, latency=1.2)
    assert (
        plan.critical == "api.x.com alone needs 2 h 10 min by its rate limit of 100/min, all else 6 min 00 s."
    )
    assert [host.host for host in plan.hosts] == ["api.x.com", "b.example", "c.example"]
    assert plan.seconds == pytest.approx(7800)
    assert plan.advice == (
        (
            'hosts={"api.x.com": Limits(rate_limit="400/min")} would make it 32 min 30 s,'
            " if api.x.com allows it."
        ),
    )


def test_the_advice_keeps_what_it_promises() -> None:
    rows = urls("api.x.com", 5000) + urls("b.example", 900)
    before = hurtle.plan(rows)
    assert before.advice == (
        'hosts={"api.x.com": Limits(concurrency=40)} would make it 25 s, if api.x.com allows it.',
    )
    after = hurtle.plan(rows, hosts={"api.x.com": hurtle.Limits(concurrency=40)})
    assert before.seconds == pytest.approx(100)
    assert after.seconds == pytest.approx(25)


def test_the_limit_of_all_hosts_is_raised_when_several_are_as_slow() -> None:
    rows = [url for number in range(5) for url in urls(f"h{number}.example", 2000)]
    plan = hurtle.plan(rows)
    assert plan.critical == "h0.example needs 40 s by its limit of 10 in flight, 4 other hosts about as long."
    assert plan.advice == ("concurrency_per_host=40 would make it 10 s, if the hosts allow it.",)
    rated = hurtle.plan(rows, rate_limit_per_host="10/s")
    assert rated.advice == ('rate_limit_per_host="40/s" would make it 50 s, if the hosts allow it.',)


def test_the_limits_over_all_hosts_are_named_when_they_bind() -> None:
    rows = [url for number in range(100) for url in urls(f"h{number}.example", 100)]
    plan = hurtle.plan(rows, rate_limit="100/s")
    assert plan.critical == (
        "All hosts together need 1 min 40 s by rate_limit 100/s; "
        "the slowest host alone, h0.example, needs 2 s."
    )
    assert plan.advice == (
        'rate_limit="400/s" would make it 25 s, if the machine, the network and the hosts allow it.',
    )
    narrow = hurtle.plan(rows, concurrency=20)
    assert "by concurrency 20;" in narrow.critical
    assert narrow.advice[0].startswith("concurrency=80 would make it 25 s")


def test_a_list_that_is_done_soon_needs_no_higher_limits() -> None:
    assert hurtle.plan(urls("a.example", 100)).advice == ()
    assert hurtle.plan(urls("a.example", 10)).critical == (
        "a.example, the only host, needs 200 ms by its limit of 10 in flight."
    )


def test_duplicates_are_counted_and_what_dedupe_would_save() -> None:
    rows = (
        urls("a.example", 1000) + [url + "#again" for url in urls("a.example", 1000)] + urls("b.example", 10)
    )
    plan = hurtle.plan(rows, rate_limit_per_host="10/s")
    assert (plan.duplicates, plan.compared, plan.requests) == (1000, 2010, 2010)
    assert of(plan, "a.example").duplicates == 1000
    assert plan.advice[0] == (
        "dedupe=True would send 1,000 requests fewer: 1 min 40 s instead of 3 min 20 s."
    )
    deduped = hurtle.plan(rows, rate_limit_per_host="10/s", dedupe=True)
    assert deduped.requests == 1010
    assert deduped.seconds == pytest.approx(99.9)
    assert not any("dedupe" in sentence for sentence in deduped.advice)


def test_shared_params_do_not_hide_duplicates() -> None:
    rows: list[Any] = ["http://a.example/?a=1", {"url": "http://a.example/", "params": {"a": 1}}]
    assert hurtle.plan(rows).duplicates == 1
    # The shared parameters are sent between the URL's own and the request's own.
    assert hurtle.plan(rows, params={"k": 2}).duplicates == 0


def test_a_huge_list_is_compared_up_to_a_bound() -> None:
    tally = Tally(most_compared=4)
    tally.add([("a.example", False, text) for text in (b"1", b"1", b"2", b"1", b"2", b"2")])
    assert (tally.sendable, tally.compared) == (6, 4)
    assert tally.hosts() == [("a.example", 6, 2)]


def test_memory_does_not_grow_with_the_urls() -> None:
    import tracemalloc

    tracemalloc.start()
    try:
        plan = hurtle.plan(
            f"http://h{number % 5}.example/a/rather/long/path/{number}" for number in range(20_000)
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert plan.requests == 20_000
    assert peak < 20_000 * 60


def test_what_is_found_while_sending_is_said_to_be_unknown() -> None:
    rows = urls("a.example", 5000)
    plan = hurtle.plan(rows, rate_limit_per_host="auto", concurrency_per_host="auto", concurrency="auto")
    assert (plan.hosts[0].rate_s, plan.hosts[0].concurrency_s, plan.seconds) == (None, None, 0.0)
    assert plan.critical == 'How long it takes is found while sending: the limits are "auto".'
    assert sum('"auto"' in sentence for sentence in plan.assumptions) == 2
    assert "unknown" in plan.to_text()
    half = hurtle.plan(rows, rate_limit_per_host="auto")
    assert half.seconds == pytest.approx(100)
    assert half.advice[0].startswith("concurrency_per_host=40 ")
    alone = hurtle.plan(rows, rate_limit_per_host="60/min").advice[0]
    assert alone.startswith('rate_limit_per_host="240/min" would make it ')
    assert alone.endswith(", if a.example allows it.")


def test_the_assumed_latency_is_said() -> None:
    assert "200 ms (latency=0.2)" in hurtle.plan([]).assumptions[0]
    plan = hurtle.plan(urls("a.example", 10), latency=1.5, robots=True)
    assert "1.5 s (latency=1.5)" in plan.assumptions[0]
    assert "robots.txt" in plan.assumptions[-1]


def test_a_job_that_would_be_cut_short_is_warned_of() -> None:
    plan = hurtle.plan(urls("a.example", 1201), rate_limit_per_host="2/s", max_duration=60)
    assert plan.advice[0] == (
        "max_duration=60 is too short: at least 1,081 requests would not be sent; the list needs 10 min 00 s."
    )


def test_an_empty_list_needs_nothing() -> None:
    plan = hurtle.plan([])
    assert (plan.rows, plan.hosts, plan.seconds, plan.advice) == (0, (), 0.0, ())
    assert plan.to_text().splitlines()[:2] == ["0 requests to 0 hosts", "  There is nothing to send."]


def test_a_plan_is_aligned_text(tmp_path: Path) -> None:
    path = tmp_path / "urls.txt"
    lines = [
        "# a list",
        "",
        "nonsense",
        *urls("api.x.com", 601),
        *urls("b.example", 5, "http"),
        "http://b.example/0",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    plan = hurtle.plan(path, hosts={"api.x.com": {"rate_limit": "100/min", "concurrency": 2}}, latency=0.1)
    advised = plan.advice[-1]
    assert str(plan).splitlines() == [
        "607 requests to 2 hosts, at least 6 min 00 s",
        "  api.x.com alone needs 6 min 00 s by its rate limit of 100/min, all else 100 ms.",
        "",
        "  host       requests  rate limit  in flight  at least",
        "  api.x.com       601  100/min             2  6 min 00 s",
        "  b.example         6  none               10  100 ms",
        "",
        "  all hosts    rate limit none, 256 in flight: at least 300 ms",
        "  https        601",
        "  http         6",
        "  duplicates   1, each sent",
        "  not sent     input.url 1",
        "  skipped      2 blank or comment lines",
        "",
        "To change",
        "  dedupe=True would send 1 request fewer.",
        f"  {advised}",
        "",
        "Assumed",
        "  Every answer takes 100 ms (latency=0.1): measure it and set latency.",
        "  Retries, opening connections and large bodies come on top.",
    ]


def test_many_hosts_are_summed_up() -> None:
    plan = hurtle.plan(f"http://h{number}.example/" for number in range(300))
    (line,) = [line for line in plan.to_text().splitlines() if "more hosts" in line]
    assert line.split() == ["290", "more", "hosts", "290", "up", "to", "200", "ms"]


def test_a_plan_is_a_dict_of_all_numbers() -> None:
    plan = hurtle.plan(urls("a.example", 3), rate_limit="1/min")
    numbers = json.loads(json.dumps(plan.as_dict()))
    assert numbers["hosts"][0]["host"] == "a.example"
    assert (numbers["rate_limit"], numbers["rate_s"]) == ("1/min", 120.0)


def test_wrong_options_and_inputs_raise() -> None:
    for options in ({"latency": 0}, {"latency": "fast"}, {"rate_limit": "fast"}, {"colour": 1}):
        with pytest.raises(hurtle.ConfigError):
            hurtle.plan([], **options)
    with pytest.raises(hurtle.ConfigError, match="no such file"):
        hurtle.plan("not/there.txt")
