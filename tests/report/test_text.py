"""Numbers as people read them."""

import json
from dataclasses import replace

import pytest

from hurtle.report.progress import RATE_OVER_S, Rates
from hurtle.report.summary import Summary
from hurtle.report.text import bytes_text, count_text, rate_text, seconds_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 µs"),
        (0.00031, "310 µs"),
        (0.0123, "12.3 ms"),
        (0.99949, "999 ms"),
        (1, "1 s"),
        (4.561, "4.56 s"),
        (59.96, "1 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_seconds_are_written_with_a_fitting_unit(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1_234_567, "1.23 MB"), (5e9, "5 GB"), (7e15, "7e+03 TB")],
)
def test_bytes_are_written_with_a_fitting_unit(size: float, text: str) -> None:
    assert bytes_text(size) == text


def test_counts_and_rates() -> None:
    assert count_text(1, "request") == "1 request"
    assert count_text(2000, "request") == "2,000 requests"
    assert rate_text(43_290.4) == "43,290"
    assert rate_text(1.234) == "1.23"


SUMMARY = Summary(
    requests=1000,
    ok=990,
    failed=10,
    statuses={200: 990, 503: 4},
    errors={"connect.refused": 5, "dns.not_found": 1},
    attempts=1012,
    skipped=2,
    connections=10,
    bytes_wire=100_000,
    bytes_body=250_000,
    seconds=2.0,
    first_byte={"p50": 0.001, "p95": 0.002, "p99": 0.003, "max": 0.1},
    total={},
    limited_by="concurrency=256 (the servers took 1 ms): raise concurrency",
    bottlenecks={"concurrency": 40},
)


def test_a_summary_is_aligned_text() -> None:
    assert str(SUMMARY).splitlines() == [
        "1,000 requests in 2 s, 500 requests/s",
        "  ok           990",
        "  failed       10",
        "  status       200  990",
        "               503  4",
        "  error        connect.refused  5",
        "               dns.not_found    1",
        "  first byte   p50 1 ms   p95 2 ms   p99 3 ms   max 100 ms",
        "  received     100 kB, 250 kB decoded, 50 kB/s",
        "  attempts     1,012 (12 more than requests)",
        "  connections  10",
        "  skipped      2 blank or comment lines",
        "  limited by   concurrency=256 (the servers took 1 ms): raise concurrency",
    ]


def test_a_summary_says_who_was_told_to_wait_where_anybody_was() -> None:
    told = replace(SUMMARY, throttled=120, throttled_for=200.0, limited_by="throttled by a.example (429)")
    assert str(told).splitlines()[-2:] == [
        "  throttled    120 requests were told to wait, 3 min 20 s in all",
        "  throttled by a.example (429)",
    ]
    assert "  throttled    1 request was told to wait, 2 s in all" in str(
        replace(SUMMARY, throttled=1, throttled_for=2.0)
    )
    assert "5 requests were told to wait\n" in str(replace(SUMMARY, throttled=5, throttled_for=0.0))


def test_a_summary_of_a_short_run_says_nothing_about_limits() -> None:
    assert "limited by" not in str(replace(SUMMARY, limited_by=None))


def test_a_summary_is_a_dict_of_all_numbers() -> None:
    numbers = SUMMARY.as_dict()
    assert numbers["rate_per_s"] == 500.0
    assert numbers["requests"] == 1000
    assert numbers["bottlenecks"] == {"concurrency": 40}
    assert json.loads(json.dumps(numbers))["statuses"] == {"200": 990, "503": 4}


def test_rates_are_those_of_the_last_seconds() -> None:
    rates = Rates(now=0.0, over_s=3.0)
    assert rates.add(1.0, 100, 1000) == (100.0, 1000.0)
    for second in range(2, 19):
        rates.add(float(second), 100, 1000)
    assert rates.add(19.0, 100, 1000) == (0.0, 0.0)
    assert rates.add(19.0 + RATE_OVER_S, 400, 4000)[0] == pytest.approx(300 / RATE_OVER_S)
