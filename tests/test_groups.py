"""Limits that hosts share, as the server sees them: by domain, by address, and by name.

Every name below `localhost` is this machine, and `site.localhost` is a registrable domain.
"""

from typing import Any

import pytest

import hurtle
from hurtle.testing import Server

NAMES = 50
GROUP = ", ".join(f"n{number}.site.localhost" for number in range(NAMES))
WAYS: dict[str, dict[str, Any]] = {
    "domain": {"limit_by": "domain"},
    "ip": {"limit_by": "ip"},
    "names": {"hosts": {GROUP: hurtle.Limits(shared=True)}},
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def urls(server: Server, count: int = NAMES, path: str = "/bytes/1") -> list[str]:
    """Return URLs of fifty names in turn."""
    url = server.url(path)
    return [url.replace("127.0.0.1", f"n{number % NAMES}.site.localhost") for number in range(count)]


def starts(server: Server) -> list[float]:
    """Return when the first request of each name arrived, in order."""
    return sorted(host.first_request_us / 1e6 for host in server.host_stats().values())


@every_way
def test_fifty_names_share_what_one_host_may_have_in_flight(way: dict[str, Any]) -> None:
    with Server(latency=0.005) as server:
        results = hurtle.fetch(urls(server, 200), concurrency_per_host=4, threads=2, **way)
        assert all(response.ok for response in results)
        assert len(server.host_stats()) == NAMES
        assert server.stats()["max_in_flight"] == 4
        if "limit_by" in way:
            found = hurtle.plan(urls(server, 200), concurrency_per_host=4, **way)
            assert [host.requests for host in found.hosts] == (
                [200] if way["limit_by"] == "domain" else [4] * 50
            )


def test_without_a_group_each_name_has_its_own_limits() -> None:
    with Server(latency=0.05) as server:
        assert all(response.ok for response in hurtle.fetch(urls(server), concurrency_per_host=1))
        assert server.stats()["max_in_flight"] > 4


@pytest.mark.slow
@every_way
def test_fifty_names_share_a_rate(way: dict[str, Any]) -> None:
    with Server() as server:
        results = hurtle.fetch(urls(server), rate_limit_per_host="20/s", threads=2, **way)
        assert all(response.ok for response in results)
        times = starts(server)
        # 49 gaps of 50 ms. Without a group they would all arrive at once.
        assert times[-1] - times[0] > 2


@pytest.mark.slow
@every_way
def test_a_refusal_of_one_name_parks_the_others(way: dict[str, Any]) -> None:
    with Server() as server:
        (refuses,) = urls(server, 1, "/retry-after?seconds=1&status=429&times=1&key=k")
        results = hurtle.fetch([refuses, *urls(server)[1:]], concurrency_per_host=1, threads=1, **way)
        assert all(response.ok for response in results)
        assert (results[0].throttled, results.summary().throttled) == (1, 1)
        first, *others = starts(server)
        assert others[0] - first > 0.99
        by = results.summary().throttled_by
        assert by is not None
        assert by.host in {"site.localhost", "127.0.0.1", GROUP}


@pytest.mark.slow
def test_a_refusal_parks_its_name_alone_without_a_group() -> None:
    with Server() as server:
        (refuses,) = urls(server, 1, "/retry-after?seconds=1&status=429&times=1&key=k")
        results = hurtle.fetch([refuses, *urls(server)[1:]], concurrency_per_host=1)
        assert all(response.ok for response in results)
        again = max(host.last_request_us / 1e6 for host in server.host_stats().values())
        assert again - starts(server)[-1] > 0.5


def test_two_groups_and_a_host_have_their_own_limits() -> None:
    hosts: dict[str, Any] = {
        "127.0.0.1, 127.0.0.2": hurtle.Limits(shared=True, concurrency=3),
        "127.0.0.3, 127.0.0.4": {"shared": True, "concurrency": 2},
        "127.0.0.5, 127.0.0.6": hurtle.Limits(concurrency=1),
    }
    with Server(all_loopback=True, latency=0.02) as server:

        def peak(*last: int) -> int:
            before = server.stats()["max_in_flight"]
            url = server.url("/bytes/1")
            asked = [url.replace("127.0.0.1", f"127.0.0.{last[n % len(last)]}") for n in range(24)]
            assert all(response.ok for response in client.fetch(asked))
            assert server.stats()["max_in_flight"] >= before
            return server.stats()["max_in_flight"]

        with hurtle.Client(hosts=hosts) as client:
            assert peak(5) == 1
            assert peak(5, 6) == 2
            assert peak(3, 4) == 2
            assert peak(1, 2) == 3
            assert peak(1, 2, 3, 4) == 5


def test_names_that_cannot_be_resolved_end_the_same_whatever_limits_are_by() -> None:
    asked = ["http://a.invalid/", "http://b.invalid/", "http://localhost:9/"]
    by_host, by_ip = (hurtle.fetch(asked, limit_by=way, retries=0, robots=False) for way in ("host", "ip"))
    assert [response.error.code for response in by_ip if response.error] == [
        "dns.not_found", "dns.not_found", "connect.refused",
    ]  # fmt: skip
    for one, other in zip(by_host, by_ip, strict=True):
        assert (str(one.error), one.attempts) == (str(other.error), other.attempts)
