"""The test server as users meet it: context managers, addresses, faults, the fixture."""

import asyncio

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


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"host": "example.com"}, "no IP address"),
        ({"latency": -1.0}, "latency"),
        ({"tls_fault": "rude"}, "tls_fault"),
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
