"""The test server as users meet it: context managers, addresses, faults, the fixture."""

import asyncio
from typing import Literal

import pytest

import hurtle
from hurtle.errors import ClosedError, ConfigError
from hurtle.testing import Server

pytest_plugins = ["pytester"]


def test_a_server_answers_while_it_is_open() -> None:
    with Server() as server:
        assert server.url("/x").startswith("http://127.0.0.1:")
        assert hurtle.fetch([server.url("/bytes/5")])[0].content
        (response,) = hurtle.fetch([server.tls_url("/bytes/5")], verify=server.ca_path)
        assert response.ok
        assert server.stats()["requests"] == 2
        path = server.ca_path
        url = server.url("/")
    assert not path.exists()
    assert hurtle.fetch([url], retries=0)[0].error is not None
    with pytest.raises(ClosedError):
        server.url()


def test_a_server_is_an_async_context_manager() -> None:
    async def main() -> bool:
        async with Server() as server:
            return (await hurtle.afetch([server.url("/bytes/5")]))[0].ok

    assert asyncio.run(main())


def test_a_server_plays_a_bad_day() -> None:
    with Server(error_rate=1.0, error_status=500, tls_port=None) as server:
        assert hurtle.fetch([server.url("/bytes/5")], retries=0)[0].status == 500
        with pytest.raises(ValueError, match="no TLS port"):
            server.tls_url()
    with Server(latency=0.05, tls_fault="expired") as server:
        (response,) = hurtle.fetch([server.url("/bytes/5")])
        assert response.elapsed >= 0.05
        (response,) = hurtle.fetch([server.tls_url("/bytes/5")], retries=0, verify=server.ca_path)
        assert response.error is not None
        assert response.error.code == "tls.expired"


def test_one_server_is_many_hosts() -> None:
    with Server(all_loopback=True) as server:
        urls = [server.url("/bytes/1").replace("127.0.0.1", f"127.0.1.{n}") for n in range(1, 20)]
        assert all(response.ok for response in hurtle.fetch(urls))
        assert server.stats()["hosts"] == 19


def test_host_stats_time_each_host() -> None:
    with Server(all_loopback=True, tls_port=None) as server:
        url = server.url("/delay/60")
        hurtle.fetch([url, url, url.replace("127.0.0.1", "127.0.0.2")], concurrency=1)
        stats = server.host_stats()
        assert list(stats) == ["127.0.0.1", "127.0.0.2"]
        many, one = stats.values()
        assert (many.requests, many.max_in_flight, one.requests, one.outage_requests) == (2, 1, 1, 0)
        assert many.last_request_us - many.first_request_us >= 60_000
        assert one.last_request_us - one.first_request_us < 60_000


@pytest.mark.parametrize("window", ["sliding", "fixed", "bucket"])
def test_limited_stats_count_what_was_refused(window: str) -> None:
    with Server(tls_port=None) as server:
        url = server.url(f"/limited?rate=4&per=3600&window={window}&key=a")
        statuses = [response.status for response in hurtle.fetch([url] * 7, retries=0)]
        assert sorted(filter(None, statuses)) == [200] * 4 + [429] * 3
        (stats,) = server.limited_stats().values()
        assert server.limited_stats() == {("127.0.0.1", "a"): stats}
        assert (stats.accepted, stats.refused) == (4, 3)
        assert (sum(stats.accepted_by_second), sum(stats.refused_by_second)) == (4, 3)


@pytest.mark.parametrize("how", ["refuse", "reset", "stall", 502])
def test_a_server_goes_down_and_comes_back(how: Literal["refuse", "reset", "stall"] | int) -> None:
    with Server() as server:
        urls = [server.url("/bytes/5"), server.tls_url("/bytes/5")]
        server.go_down(how)
        for response in hurtle.fetch(urls, retries=0, timeout=0.3, verify=server.ca_path):
            if isinstance(how, int):
                assert response.status == how
            else:
                assert response.error is not None
                code = {"refuse": "connect.refused", "reset": "connect.reset", "stall": "timeout.first_byte"}
                # Over TLS the test server's reset may cut the session off first.
                assert response.error.code == code[how] or (how == "reset" and response.url == urls[1])
        assert server.stats()["outage_requests"] == (0 if how == "refuse" else 2)
        server.come_back()
        server.come_back()
        assert all(response.ok for response in hurtle.fetch(urls, verify=server.ca_path))


def test_an_unknown_outage_is_named() -> None:
    with Server(tls_port=None) as server:
        for how in ["sulk", 100]:
            with pytest.raises(ConfigError, match=str(how)):
                server.go_down(how)  # type: ignore[arg-type]
        assert hurtle.fetch([server.url("/bytes/5")])[0].ok
    with pytest.raises(ClosedError):
        server.go_down()


def test_each_host_may_have_its_own_robots_txt() -> None:
    by_host: dict[str, str | int] = {"127.0.0.2": "User-agent: *", "127.0.0.3": 503}
    with Server(all_loopback=True, tls_port=None, robots="Disallow: /x", robots_by_host=by_host) as server:
        urls = [server.url("/robots.txt").replace("127.0.0.1", f"127.0.0.{n}") for n in range(1, 4)]
        results = hurtle.fetch(urls, retries=0)
        assert [response.status for response in results] == [200, 200, 503]
        assert [response.text for response in results[:2]] == ["Disallow: /x", "User-agent: *"]
    with Server(tls_port=None) as server:
        assert hurtle.fetch([server.url("/robots.txt")])[0].status == 404


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"host": "example.com"}, "not an IP address"),
        ({"latency": -1.0}, "latency"),
        ({"tls_fault": "rude"}, "tls_fault"),
        ({"robots": 100}, "robots"),
    ],
)
def test_a_wrong_setting_is_named(setting: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Server(**setting).start()  # type: ignore[arg-type]


def test_the_fixture_serves_a_users_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import hurtle

        def test_mine(hurtle_server):
            assert hurtle.fetch([hurtle_server.url("/status/204")])[0].status == 204
        """
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=1)
