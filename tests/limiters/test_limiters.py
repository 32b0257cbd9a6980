"""The lab's own counting: what it says of a limiter is only worth something if this is right."""

import http.client
from pathlib import Path

import pytest

from hurtle.testing import Server
from tests.limiters import ideal, limiters, report, results, trial
from tests.limiters.ideal import Quota
from tests.limiters.installs import SERVERS
from tests.limiters.modes import MODES
from tests.limiters.tap import Answer, Answers, Tap
from tests.limiters.trial import Run, Sent

FIVE = Quota(5, 5)
TEN = Quota(10, 5)


@pytest.mark.parametrize(
    ("rule", "quota", "requests", "start_s", "seconds"),
    [
        (ideal.FixedWindow, FIVE, 5, 103.0, 0.0),
        (ideal.FixedWindow, FIVE, 20, 103.0, 15.0),
        (ideal.FixedWindow, TEN, 60, 103.0, 25.0),
        (ideal.WholeSecondWindow, FIVE, 20, 103.6, 14.4),
        (ideal.SlidingLog, FIVE, 20, 103.0, 15.0),
        (ideal.SlidingLog, FIVE, 21, 103.0, 20.0),
        (ideal.SlidingCounter, FIVE, 5, 103.0, 0.0),
        (ideal.SlidingCounter, FIVE, 6, 103.0, 5.5),  # then 4.5 of the five before still count
        (ideal.SlidingCounter, FIVE, 20, 103.0, 19.5),
        (ideal.SlidingCounterRoundedDown, FIVE, 20, 103.0, 19.0),
        (ideal.SlidingCounterRoundedDown, TEN, 60, 103.0, 29.5),
        (ideal.Bucket, FIVE, 20, 103.0, 15.0),
        (ideal.Bucket, Quota(1, 2), 4, 103.0, 6.0),
        (limiters.with_a_wider(ideal.FixedWindow), FIVE, 20, 103.0, 20.0),
    ],
)
def test_the_ideal_time_when_the_limiter_is_known(
    rule: ideal.Rule, quota: Quota, requests: int, start_s: float, seconds: float
) -> None:
    assert ideal.ideal_s(rule(quota), requests, start_s) == pytest.approx(seconds)


def test_every_answer_is_seen_when_the_bytes_come_one_by_one() -> None:
    wire = (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nRateLimit: a\r\nRateLimit: b\r\n\r\n\r\n\r"
        b"HTTP/1.1 429 Too Many\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nHTTP/\r\n0\r\n\r\n"
        b"HTTP/1.1 204 No Content\r\n\r\n"
        b"HTTP/1.1 503 No\r\nRetry-After: 1\r\n\r\nuntil HTTP/1.1 200 OK\r\n\r\n"
    )
    for size in (1, 7, len(wire)):
        reader = Answers()
        parts = [wire[start : start + size] for start in range(0, len(wire), size)]
        found = [answer for part in parts for answer in reader.feed(part)]
        assert [answer.status for answer in found] == [200, 429, 204, 503]
        assert found[0].lines == ("Content-Length: 3", "RateLimit: a", "RateLimit: b")


def test_the_tap_changes_nothing_and_counts_as_the_server_does() -> None:
    with Server(tls_port=None) as server:
        port = int(server.url("").rpartition(":")[2])
        with Tap(port) as tap:
            connection = http.client.HTTPConnection(tap.url.removeprefix("http://"), timeout=10)
            bodies = []
            for _ in range(5):
                connection.request("GET", "/limited?rate=3&per=60&key=tap")
                bodies.append(connection.getresponse().read())
            connection.close()
            plain = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            plain.request("GET", "/limited?rate=3&per=60&key=other")
            assert plain.getresponse().read() == bodies[0]
            plain.close()
            assert [answer.status for answer in tap.answers] == [200, 200, 200, 429, 429]
        stats = server.limited_stats()["127.0.0.1", "tap"]
    assert (stats.accepted, stats.refused) == (3, 2)


def test_what_a_limiter_sends_is_only_believed_when_it_grants_and_refuses() -> None:
    with Server(tls_port=None, error_rate=1.0, error_status=404) as server:
        port = int(server.url("").rpartition(":")[2])
        with (
            Tap(port) as tap,
            pytest.raises(RuntimeError, match="the first request of all was answered with 404"),
        ):
            trial.ask_too_often(tap, FIVE)
    with Server(tls_port=None) as server:
        port = int(server.url("").rpartition(":")[2])
        with Tap(port) as tap, pytest.raises(RuntimeError, match="12 requests at once, and none"):
            trial.ask_too_often(tap, FIVE)
    lines = ("Date: x", "RateLimit: a", "X-Rate-Limit-Reset: 1", "X-Retry-In: 2s", "Content-Length: 2")
    assert trial.of_limits(Answer(0.0, 429, lines)) == lines[1:4]


@pytest.mark.slow
def test_a_run_is_counted_in_full() -> None:
    with Server(tls_port=None, error_rate=0.5, error_status=404) as server:
        port = int(server.url("").rpartition(":")[2])
        run = trial.run_hurtle(port, "default", ideal.FixedWindow, FIVE)
        asked = server.stats()["requests"]
    assert run.refused == run.ended.get("404", 0)
    assert run.ok + run.refused == run.rows == asked == 20
    assert run.seconds > 0
    assert not run.stopped


@pytest.mark.slow
def test_a_run_is_stopped_when_its_time_is_over() -> None:
    with Server(tls_port=None, latency=60.0) as server:
        seconds, rows = trial.rows_of(server.url("").rstrip("/"), "default", bound_s=1.5)
    assert (seconds, rows) == (None, [])


def run_of(**changed: object) -> Run:
    values: dict[str, object] = {
        "rows": 20, "ok": 20, "refused": 6, "most_in_a_window": 2, "seconds": 19.4,
        "ideal_seconds": 15.0, "stopped": False, "ended": {},
    }  # fmt: skip
    return Run(**(values | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "changed", "missed"),
    [
        ("default", {}, []),
        ("default", {"ok": 19}, ["rows"]),
        ("default", {"most_in_a_window": 3}, ["refusals"]),
        ("default", {"seconds": 19.6}, ["time"]),
        ("auto", {"rows": 60, "ok": 60}, []),
        ("auto", {"rows": 60, "ok": 59, "refused": 7, "seconds": 20.4}, ["rows", "refusals", "time"]),
    ],
)
def test_a_run_falls_short_when_one_figure_does(
    mode: str, changed: dict[str, object], missed: list[str]
) -> None:
    assert run_of(**changed).misses(MODES[mode]) == missed


def test_results_come_back_as_they_were_kept(tmp_path: Path) -> None:
    sent = Sent(("RateLimit: a",), 429, ("RateLimit: b", "Retry-After: 5"))
    lost = run_of(ok=15, ended={"429": 5})
    kept = {
        "express-draft-8": results.Result(version="1", sent=sent, runs={"default": lost}),
        "express-draft-7": results.Result(problem="npm is not on this machine"),
    }
    results.save(kept, tmp_path / "results.json")
    assert results.load(tmp_path / "results.json") == kept
    text = report.page(kept)
    assert "`RateLimit: b`<br>`Retry-After: 5`" in text
    assert "| 15 of 20 (5 × 429) | 6 | 2 | 19.4 s | 15.0 s | 1.29 | no: rows |" in text
    assert "draft-7: npm is not on this machine" in text


def test_limiters_are_chosen_by_a_part_of_their_name() -> None:
    names = [one.name for one in limiters.chosen(["koa", "two"])]
    assert names == ["express-two-draft-6", "express-two-draft-8", "koa"]
    with pytest.raises(ValueError, match="no limiter is called 'expres-s'"):
        limiters.chosen(["express", "expres-s"])


def test_every_limiter_has_its_server_and_a_name_of_its_own() -> None:
    assert all((SERVERS / one.server).is_file() for one in limiters.LIMITERS)
    names = [one.name for one in limiters.LIMITERS]
    assert len(set(names)) == len(names)
