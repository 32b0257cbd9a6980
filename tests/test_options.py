"""Options: what is written becomes one resolved value, and what is wrong is named before anything is sent."""

from pathlib import Path
from typing import Any

import pytest

from hurtle.errors import ConfigError
from hurtle.options import USER_AGENT, Options, Retry, Timeout


def resolved(**given: object) -> Options:
    return Options.resolve(given)


def test_nothing_given_gives_the_defaults() -> None:
    assert resolved() == Options()


@pytest.mark.parametrize(
    ("timeout", "total", "connect", "read"),
    [
        (5, 5.0, None, None),
        (None, None, None, None),
        ((3, 20), None, 3.0, 20.0),
        (Timeout(total=9, connect=1), 9.0, 1.0, None),
    ],
)
def test_timeout_is_understood_in_every_form(
    timeout: object, total: float | None, connect: float | None, read: float | None
) -> None:
    options = resolved(timeout=timeout)
    assert (options.timeout_total, options.timeout_connect, options.timeout_read) == (total, connect, read)


def test_retries_is_understood_as_number_and_as_policy() -> None:
    assert resolved(retries=7).retry_total == 7
    policy = resolved(retries=Retry(total=1, statuses=[500], methods=["post"], jitter=0))  # type: ignore[arg-type]
    assert (policy.retry_total, policy.retry_statuses, policy.retry_methods) == (1, (500,), ("POST",))


@pytest.mark.parametrize(
    ("text", "size"),
    [(10, 10), ("10", 10), ("1kB", 1000), ("1 KiB", 1024), ("1.5MiB", 3 << 19), ("2g", 2 * 10**9)],
)
def test_a_size_is_understood_as_number_and_as_text(text: object, size: int) -> None:
    assert resolved(max_body_size=text).max_body_size == size
    assert resolved(max_buffer=text).max_buffer == size


def test_aliases_mean_the_same() -> None:
    assert resolved(allow_redirects=False).follow_redirects is False


def test_headers_cookies_credentials_and_agent_become_header_fields() -> None:
    options = resolved(headers={"X-A": "1"}, cookies={"c": "2"}, auth=("user", "pass"), user_agent="me/1")
    assert options.headers == (
        ("user-agent", "me/1"),
        ("X-A", "1"),
        ("cookie", "c=2"),
        ("authorization", "Basic dXNlcjpwYXNz"),
    )


def test_a_user_agent_header_wins_over_the_default() -> None:
    assert resolved(headers={"User-Agent": "me"}).headers == (("User-Agent", "me"),)
    assert resolved().headers == (("user-agent", USER_AGENT),)


def test_params_are_encoded() -> None:
    assert (
        resolved(params={"q": "a b", "n": [1, 2], "gone": None, "yes": True}).params
        == "q=a+b&n=1&n=2&yes=true"
    )


def test_verify_takes_the_path_of_a_file(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    assert resolved(verify=bundle).verify == str(bundle)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("concurrency", 0),
        ("concurrency", 2.5),
        ("concurrency", True),
        ("concurrency_per_host", -1),
        ("timeout", -1),
        ("timeout", "30"),
        ("timeout", True),
        ("timeout", float("nan")),
        ("timeout", float("inf")),
        ("timeout", 1e300),
        ("timeout", (1, -1)),
        ("deadline", 0),
        ("max_duration", "1h"),
        ("retries", -1),
        ("retries", 1.5),
        ("follow_redirects", 1),
        ("max_redirects", -1),
        ("verify", "no-such-file.pem"),
        ("verify", 3),
        ("http2", 1),
        ("http2", "always"),
        ("max_body_size", "64 floz"),
        ("max_body_size", 0),
        ("max_buffer", "-1"),
        ("on_oversize", "drop"),
        ("on_error", "ignore"),
        ("ordered", "yes"),
        ("progress", 3),
        ("threads", -1),
        ("threads", 1025),
        ("headers", 3),
        ("headers", {"a": 1}),
        ("headers", {"a": "b\r\nc"}),
        ("headers", {"a b": "c"}),
        ("headers", {"a": "\ud800"}),
        ("cookies", {"a": "b;c"}),
        ("cookies", "a=b"),
        ("auth", ("a:b", "c")),
        ("auth", 3),
        ("params", 3),
        ("params", {"a": object()}),
        ("user_agent", ""),
    ],
)
def test_a_wrong_value_is_named(option: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=option) as caught:
        resolved(**{option: value})
    assert caught.value.option is not None
    assert caught.value.option.partition("[")[0].partition(".")[0] == option


@pytest.mark.parametrize(
    "make",
    [
        lambda: Timeout(total=0),
        lambda: Retry(total=-1),
        lambda: Retry(statuses=(99,)),
        lambda: Retry(methods=("G T",)),
        lambda: Retry(jitter=1.5),
        lambda: Retry(backoff=-1),
    ],
)
def test_a_group_checks_its_own_values(make: Any) -> None:
    with pytest.raises(ConfigError, match="must be"):
        make()


def test_secrets_are_not_in_the_words_of_an_error() -> None:
    for given in ({"auth": ("user:x", "hunter2")}, {"headers": {"authorization": "hunter2\n"}}):
        with pytest.raises(ConfigError) as caught:
            resolved(**given)
        assert "hunter2" not in str(caught.value)


def test_an_unknown_option_gets_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"no option 'timout'; did you mean timeout\?"):
        resolved(timout=3)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("proxy", "http://127.0.0.1:1"),
        ("proxies", ["http://127.0.0.1:1"]),
        ("cert", "client.pem"),
        ("robots", True),
        ("block_private", True),
        ("rate_limit", 50),
        ("rate_limit_per_host", "1/s"),
        ("concurrency", "auto"),
    ],
)
def test_an_option_that_is_not_built_is_refused_and_never_ignored(option: str, value: object) -> None:
    with pytest.raises(ConfigError, match="is not available in this version"):
        resolved(**{option: value})


def test_options_that_ask_for_nothing_are_accepted_when_not_built() -> None:
    assert resolved(proxy=None, cert=None, robots=False, block_private=False, rate_limit=None) == Options()


def test_two_spellings_of_one_option_are_refused() -> None:
    with pytest.raises(ConfigError, match="one option"):
        resolved(follow_redirects=True, allow_redirects=False)


def test_a_call_sets_its_own_options_and_no_others() -> None:
    options = resolved(concurrency=5)
    assert options.for_job({}) is options
    assert options.for_job({"ordered": True}) == resolved(concurrency=5, ordered=True)
    with pytest.raises(ConfigError, match="belongs to the client"):
        options.for_job({"concurrency": 6})
    with pytest.raises(ConfigError, match="no option"):
        options.for_job({"orderd": True})
    with pytest.raises(ConfigError, match="ordered"):
        options.for_job({"ordered": 1})
