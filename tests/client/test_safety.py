"""URLs that somebody else chose: what is not connected to, and what does not go along."""

from pathlib import Path

import pytest

import hurtle
from hurtle.cli.args import parser
from hurtle.cli.run_options import given_options
from hurtle.errors import BlockedError, ConfigError, RedirectError
from hurtle.options import Options, OptionsDict
from hurtle.testing import Server


def test_private_addresses_are_blocked_in_every_spelling(hurtle_server: Server) -> None:
    port = hurtle_server.url("/").rpartition(":")[2].strip("/")
    hosts = ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "localhost", "127.0.0.1."]
    before = hurtle_server.stats()["connections"]
    for response in hurtle.fetch([f"http://{host}:{port}/bytes/1" for host in hosts], block_private=True):
        assert isinstance(response.error, BlockedError), response.url
        assert (response.error.code, response.attempts, response.status) == ("blocked.address", 1, None)
    assert hurtle_server.stats()["connections"] == before


@pytest.mark.parametrize("network", ["127.0.0.0/8", "127.0.0.1"])
def test_an_allowed_network_is_connected_to(hurtle_server: Server, network: str) -> None:
    (response,) = hurtle.fetch([hurtle_server.url("/bytes/1")], block_private=True, allow_private=[network])
    assert response.status == 200


def test_a_retry_of_a_run_keeps_its_guard(tmp_path: Path, hurtle_server: Server) -> None:
    out = f"{tmp_path}/parts/"
    hurtle.run([hurtle_server.url("/bytes/1")], out, format="jsonl", block_private=True)
    hurtle.retry(out, where="1")
    (row,) = hurtle.open_run(out)
    assert row["error"] == "blocked.address"
    with pytest.raises(ConfigError, match="block_private was True and is now False"):
        hurtle.run([hurtle_server.url("/bytes/1")], out, format="jsonl")


def test_what_the_caller_supplied_stays_behind_unless_it_is_named(hurtle_server: Server) -> None:
    elsewhere = hurtle_server.url("/echo").replace("127.0.0.1", "localhost")
    urls = [hurtle_server.url(f"/redirect-to?status=307&url={elsewhere}")]
    headers = {"x-key": "secret-1", "cookie": "secret-2"}
    (response,) = hurtle.fetch(urls, headers=headers)
    assert response.status == 200
    assert "secret" not in response.text
    (response,) = hurtle.fetch(urls, headers=headers, keep_on_redirect=["X-Key"])
    assert "secret-1" in response.text
    assert "secret-2" not in response.text
    post = hurtle.Request(urls[0], method="POST", content=b"secret-3")
    (response,) = hurtle.fetch([post])
    assert isinstance(response.error, RedirectError)
    assert (response.error.code, response.status) == ("redirect.body", 307)
    (response,) = hurtle.fetch([post], keep_on_redirect=["body"])
    assert "secret-3" in response.text


def test_nothing_is_sent_in_the_clear_with_https_only(hurtle_server: Server) -> None:
    (response,) = hurtle.fetch([hurtle_server.url("/bytes/1")], https_only=True)
    assert response.error is not None
    assert (response.error.code, response.attempts) == ("input.scheme", 0)


def test_the_command_has_a_flag_for_each() -> None:
    flags = ["--block-private", "--allow-private", "10.0.0.0/8", "--allow-private", "::1", "--https-only"]
    given = parser().parse_args(["fetch", "urls.txt", *flags, "--keep-on-redirect", "X-Key"])
    options = Options.resolve(given_options(given))
    assert (options.block_private, options.allow_private) == (True, ("10.0.0.0/8", "::1/128"))
    assert (options.https_only, options.keep_on_redirect) == (True, ("x-key",))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"allow_private": ["10.0.0.0/8"]}, "only with block_private=True"),
        ({"block_private": True, "allow_private": "10.0.0.0/8"}, "must be a list of networks"),
        (
            {"block_private": True, "allow_private": ["10.0.0.1/8"]},
            "10.0.0.1/8': must be .* no bit set",
        ),
        ({"block_private": True, "allow_private": [10]}, "allow_private=10: must be"),
        ({"block_private": "yes"}, "block_private='yes': must be True or False"),
        ({"verify": "/"}, "verify='/': must be .*; it is a folder"),
        ({"https_only": 1}, "https_only=1: must be True or False"),
        ({"keep_on_redirect": "x-key"}, "must be a list of header names"),
        ({"keep_on_redirect": ["a b"]}, "must be a list of header names"),
        ({"keep_on_redirect": ["Host"]}, "leave host out"),
    ],
)
def test_a_wrong_value_is_named(options: OptionsDict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        hurtle.fetch([], **options)
