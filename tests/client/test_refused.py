"""What is known about an attempt decides whether a request is resent; a refusal is not a failure."""

from __future__ import annotations

from typing import Any

import pytest

import hurtle
from hurtle._engine import IDEMPOTENT_METHODS, Response
from hurtle.testing import Server

pytestmark = pytest.mark.slow

NOTHING_LISTENS = "http://127.0.0.1:1/"


def limited(server: Server, key: str, method: str = "POST") -> list[dict[str, Any]]:
    """Return requests of which 3 are accepted in each 0.2 s."""
    url = server.url(f"/limited?rate=3&per=0.2&key={key}")
    return [{"url": url, "method": method, "content": b"x"} for _ in range(6)]


def ends_of(response: Response) -> list[str]:
    return [attempt.ended for attempt in response.attempt_log]


@pytest.mark.parametrize("method", ["POST", "GET", "QUERY"])
def test_refused_requests_are_sent_again_and_each_is_worked_on_once(
    hurtle_server: Server, method: str
) -> None:
    results = hurtle.fetch(limited(hurtle_server, method, method), retries=1)
    assert [response.status for response in results] == [200] * 6
    assert sum(entry.accepted for entry in hurtle_server.limited_stats().values()) == 6
    refused = [response for response in results if response.throttled]
    assert refused
    for response in refused:
        assert ends_of(response) == ["refused"] * response.throttled + ["answered"]
        assert response.attempts == response.throttled + 1
        assert response.attempt_log[1].wait > 0
    summary = results.summary()
    assert summary.throttled == len(refused)
    assert summary.throttled_for >= sum(response.attempt_log[1].wait for response in refused)
    assert summary.as_dict()["throttled_by"]


@pytest.mark.parametrize(
    ("retries", "again"),
    [
        (0, 0),
        (hurtle.Retry(total=0, patience="15min"), 6),
        (hurtle.Retry(patience="none", backoff=0.01), 0),
        (hurtle.Retry(refused="idempotent", backoff=0.01), 0),
        (hurtle.Retry(refused="idempotent", methods=("POST",)), 6),
    ],
)
def test_who_wants_none_of_it_says_so(hurtle_server: Server, retries: Any, again: int) -> None:
    results = hurtle.fetch(limited(hurtle_server, "a"), retries=retries)
    assert [response.ok for response in results].count(True) == max(3, again)
    for response in results:
        if not response.ok:
            assert (response.status, response.error, response.throttled) == (429, None, 1)
            assert ends_of(response) == ["refused"]


def test_patience_ends(hurtle_server: Server) -> None:
    results = hurtle.fetch(
        [{"url": hurtle_server.url("/status/429"), "method": "POST"}] * 3, retries={"patience": "500ms"}
    )
    for response in results:
        assert (response.status, response.error and response.error.code) in [
            (429, None),
            (None, "host.throttled"),
        ]
    assert {response.status for response in results} >= {429}
    assert all(set(ends_of(response)) <= {"refused"} for response in results)


def test_a_host_that_refuses_everything_is_not_asked_for_the_rest(hurtle_server: Server) -> None:
    urls = [hurtle_server.url(f"/status/429?n={n}") for n in range(300)]
    results = hurtle.fetch(urls, retries={"patience": 0.5})
    codes = [response.error.code for response in results if response.error]
    assert set(codes) == {"host.throttled"}
    assert len(codes) > 200
    assert "hosts that are down" not in str(results.summary())


def test_what_was_not_sent_is_sent_again_whatever_its_method() -> None:
    (response,) = hurtle.fetch([{"url": NOTHING_LISTENS, "method": "POST"}], retries={"backoff": 0.01})
    assert response.error is not None
    assert response.error.code == "connect.refused"
    assert (ends_of(response), response.throttled) == (["unsent"] * 3, 0)


@pytest.mark.parametrize(("method", "attempts"), [("POST", 1), ("PUT", 2), ("QUERY", 2)])
def test_what_may_have_arrived_is_sent_again_only_if_its_method_may_be(
    hurtle_server: Server, method: str, attempts: int
) -> None:
    request = {"url": hurtle_server.url("/hang"), "method": method, "content": b"x"}
    (response,) = hurtle.fetch([request], timeout=0.3, retries={"total": 1, "backoff": 0.01})
    assert ends_of(response) == ["unknown"] * attempts


def test_there_is_one_list_of_methods_that_may_be_repeated() -> None:
    assert set(IDEMPOTENT_METHODS) == {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "QUERY"}


def test_a_wait_that_cannot_be_read_is_said_and_the_row_is_not_lost(hurtle_server: Server) -> None:
    waits = ["soon", "-1", "1e9"]
    path = "/retry-after?value={0}&status=429&times=1&key=unreadable-{0}-{1}"
    once = [hurtle_server.url(path.format(wait, "once")) for wait in waits]
    told = hurtle.fetch(once, retries=0).to_arrow()
    assert told.column("status").to_pylist() == [429] * 3
    assert told.column("error_detail").to_pylist() == [f"not readable: Retry-After: {wait}" for wait in waits]
    again = [hurtle_server.url(path.format(wait, "again")) for wait in waits]
    assert [response.status for response in hurtle.fetch(again)] == [200] * 3
