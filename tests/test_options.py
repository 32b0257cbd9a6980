"""Options: they are resolved to one value, and a wrong one is named before anything is sent."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hurtle import _engine
from hurtle.attempts import Retry, Timeout
from hurtle.errors import ConfigError
from hurtle.limits import Limits
from hurtle.options import USER_AGENT, Options, OutputOptions, RunOptions, split_output
from hurtle.rates import GRAMMAR, Rate


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
        ({"connect": 1, "read": 2}, 30.0, 1.0, 2.0),
        ({"total": None}, None, None, None),
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
    patient = {"respect_retry_after": False, "max_retry_after": 600, "rounds": 0}
    policy = resolved(retries=patient)
    assert policy == resolved(retries=Retry(**patient))  # type: ignore[arg-type]
    assert policy.retry_respect_retry_after is False
    assert (policy.retry_total, policy.retry_max_retry_after, policy.retry_rounds) == (2, 600.0, 0)


@pytest.mark.parametrize(
    ("retries", "patience_s", "refused"),
    [
        (2, 900.0, "any"),
        (0, None, "any"),
        (Retry(), 900.0, "any"),
        (Retry(total=0), None, "any"),
        (Retry(total=0, patience="15min"), 900.0, "any"),
        (Retry(patience="none"), None, "any"),
        ({"patience": " None "}, None, "any"),
        ({"patience": 0.5}, 0.5, "any"),
        ({"patience": 90}, 90.0, "any"),
        ({"patience": "90"}, 90.0, "any"),
        ({"patience": "1.5 h", "refused": "idempotent"}, 5400.0, "idempotent"),
    ],
)
def test_patience_is_understood_in_every_form(retries: Any, patience_s: float | None, refused: str) -> None:
    options = resolved(retries=retries)
    assert (options.retry_patience, options.retry_refused) == (patience_s, refused)


def test_a_policy_that_is_changed_keeps_what_its_patience_follows_from() -> None:
    assert replace(Retry(total=0), total=2).patience_s == 900.0
    assert replace(Retry(patience="2h"), total=0).patience_s == 7200.0


def test_rates_become_their_one_form() -> None:
    options = resolved(rate_limit="100/min", rate_limit_per_host="auto")
    assert (options.rate_limit, options.rate_limit_per_host) == (Rate(100, 60), "auto")
    assert resolved(rate_limit=0.5).rate_limit == Rate(1, 2)
    assert resolved(rate_limit=None, rate_limit_per_host="none") == Options()


def test_concurrency_may_be_left_to_the_engine() -> None:
    options = resolved(concurrency="auto", concurrency_per_host="auto")
    assert (options.concurrency, options.concurrency_per_host) == ("auto", "auto")


def test_limits_of_hosts_are_understood_as_objects_and_as_dicts() -> None:
    limits = Limits(rate_limit="100/min", concurrency=2)
    options = resolved(hosts={"API.Example.com": limits})
    assert options.hosts == (("api.example.com", limits),)
    assert limits.rate_limit == Rate(100, 60)
    assert resolved(hosts={"api.example.com": {"rate_limit": "100/min", "concurrency": 2}}) == options
    assert resolved(hosts={"a": {"rate_limit": "none"}}).hosts == (("a", Limits(rate_limit="none")),)
    assert resolved(hosts={"a": {"concurrency": "auto"}}).hosts == (("a", Limits(concurrency="auto")),)
    assert resolved(hosts={"a": {}}).hosts == (("a", Limits()),)
    assert resolved(hosts={}) == resolved(hosts=None) == Options()


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("localhost", "localhost"),
        ("*.Example.com", "*.example.com"),
        ("192.0.2.1", "192.0.2.1"),
        ("[::1]", "::1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("München.de", "münchen.de"),
        ("a_b.example.com.", "a_b.example.com."),
    ],
)
def test_a_host_goes_by_its_name(written: str, name: str) -> None:
    assert [host for host, _ in resolved(hosts={written: Limits(concurrency=1)}).hosts] == [name]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("https://example.com", "it contains a scheme"),
        ("example.com/path", "it contains a path"),
        ("example.com?query", "it contains a path"),
        ("example.com:8080", "it contains a port"),
        ("[::1]:8080", "it contains a port"),
        ("[::g]", "it is not an IPv6 address"),
        ("user@example.com", "it contains a user name"),
        ("example .com", "it contains a blank"),
        ("example.com\n", "it contains a blank"),
        ("*", "a star is allowed only before"),
        ("*.", "a star is allowed only before"),
        ("*example.com", "a star is allowed only before"),
        ("api.*.com", "a star is allowed only before"),
        ("**.com", "a star is allowed only before"),
        ("", "is not a host name"),
        (3, "is not a host name"),
    ],
)
def test_what_is_no_host_name_is_refused_with_the_reason(name: object, reason: str) -> None:
    with pytest.raises(ConfigError, match="write a host as in a URL") as caught:
        resolved(hosts={name: Limits()})
    assert reason in str(caught.value)
    assert caught.value.option == "hosts"


def test_limits_of_a_host_say_where_they_are_wrong() -> None:
    with pytest.raises(ConfigError, match=r'hosts\["a"\]: unknown key \'rate\'; allowed are rate_limit, con'):
        resolved(hosts={"a": {"rate": 3}})
    with pytest.raises(ConfigError, match=r'hosts\["a"\].rate_limit=\'fast\'') as caught:
        resolved(hosts={"a": {"rate_limit": "fast"}})
    assert GRAMMAR in str(caught.value)
    with pytest.raises(ConfigError, match=r'hosts\["a"\].concurrency=0: must be .*"auto"'):
        resolved(hosts={"a": {"concurrency": 0}})
    with pytest.raises(ConfigError, match=r'hosts\["a"\]=3: must be Limits'):
        resolved(hosts={"a": 3})
    with pytest.raises(ConfigError, match="'a' is listed twice"):
        resolved(hosts={"a": Limits(), "A": Limits()})


def test_an_entry_of_several_hosts_has_its_limits_each_for_itself_or_together() -> None:
    each = Limits(concurrency=2)
    assert resolved(hosts={"A, *.b ,::1": each}).hosts == (("a", each), ("*.b", each), ("::1", each))
    together = Limits(rate_limit="10/s", shared=True)
    assert resolved(hosts={"A, *.b ,[::1]": together}).hosts == (("a, *.b, ::1", together),)
    assert resolved(hosts={"a,*.b,::1": {"rate_limit": "10/s", "shared": True}}).hosts == (
        ("a, *.b, ::1", together),
    )
    assert resolved(hosts={"*.b": Limits(shared=True)}).hosts == (("*.b", Limits(shared=True)),)


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        (
            {"a, b": {"shared": True}, "b, c": {"shared": True}},
            "'b' is listed twice, as 'a, b' and as 'b, c'",
        ),
        ({"a, b": {"shared": True}, "B": {}}, "'b' is listed twice, as 'a, b' and as 'B'"),
        ({"a, b, A": {}}, "'a' is listed twice, in 'a, b, A'"),
        ({"a, ": {"shared": True}}, "'a, ' has a comma with no host name before or after it"),
        ({",": {}}, "',' has a comma with no host name"),
        ({"a,,b": {}}, "'a,,b' has a comma with no host name"),
        ({"a": {"shared": True}}, "'a' is a single host, and no other shares its limits: leave out shared"),
        ({"a": Limits(shared=True)}, "'a' is a single host"),
        ({"a, b:80": {}}, "'b:80' is not a host name, it contains a port"),
        ({"a b": {}}, "'a b' is not a host name, it contains a blank"),
        ({"a, https://me:hunter2@b/": {}}, "it contains a scheme"),
        ({"a, b": {"shared": 1}}, 'hosts["a, b"].shared=1: must be True or False'),
        ({"a, b": {"share": True}}, "unknown key 'share'; allowed are rate_limit, concurrency, shared"),
    ],
)
def test_entries_of_hosts_that_contradict_each_other_are_refused(hosts: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolved(hosts=hosts)
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError, match="must be True or False"):
        Limits(shared="yes")  # type: ignore[arg-type]


def test_limits_are_by_host_domain_or_address() -> None:
    assert [resolved(limit_by=way).limit_by for way in ("host", "domain", "ip")] == ["host", "domain", "ip"]
    for wrong in ("hosts", "", None, ["ip"], 4):
        with pytest.raises(ConfigError, match=r'limit_by=.*: must be "host", "domain" or "ip"') as caught:
            resolved(limit_by=wrong)
        assert caught.value.option == "limit_by"


def test_a_host_is_read_as_a_url_is_when_the_engine_starts() -> None:
    for same in (("münchen.de", "xn--mnchen-3ya.de"), ("0:0::1", "[::1]"), ("127.1", "127.0.0.1")):
        with pytest.raises(ConfigError, match="are the same host"):
            _engine.Engine(resolved(hosts=dict.fromkeys(same, Limits(concurrency=1))))
        with pytest.raises(ConfigError, match="are the same host"):
            _engine.Engine(resolved(hosts={", ".join(same): Limits(shared=True)}))
    with pytest.raises(ConfigError, match="is not a host name") as caught:
        _engine.Engine(resolved(hosts={"exa<mple": Limits(concurrency=1)}))
    assert caught.value.option == "hosts"


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
        ("concurrency_per_host", "many"),
        ("rate_limit", "fast"),
        ("rate_limit", -1),
        ("rate_limit", True),
        ("rate_limit_per_host", "10/fortnight"),
        ("rate_limit_per_host", 0),
        ("hosts", "example.com"),
        ("hosts", ["example.com"]),
        ("hosts", {"example.com": {"rate_limit": "10/fortnight"}}),
        ("robots", "yes"),
        ("dedupe", 1),
        ("timeout", -1),
        ("timeout", "30"),
        ("timeout", True),
        ("timeout", float("nan")),
        ("timeout", float("inf")),
        ("timeout", 1e300),
        ("timeout", (1, -1)),
        ("timeout", {"connects": 1}),
        ("timeout", {"connect": 0}),
        ("deadline", 0),
        ("max_duration", "1h"),
        ("retries", -1),
        ("retries", 1.5),
        ("retries", {"totals": 1}),
        ("retries", {"rounds": -1}),
        ("retries", {"patience": -1}),
        ("retries", {"patience": 0}),
        ("retries", {"patience": True}),
        ("retries", {"patience": "soon"}),
        ("retries", {"patience": "-1s"}),
        ("retries", {"patience": "15 fortnights"}),
        ("retries", {"patience": float("nan")}),
        ("retries", {"patience": "999999999999d"}),
        ("retries", {"refused": "maybe"}),
        ("retries", {"refused": None}),
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
        lambda: Retry(respect_retry_after=1),  # type: ignore[arg-type]
        lambda: Retry(max_retry_after=-1),
        lambda: Retry(max_retry_after=float("nan")),
        lambda: Retry(rounds=-1),
        lambda: Limits(rate_limit="fast"),
        lambda: Limits(concurrency=0),
    ],
)
def test_a_group_checks_its_own_values(make: Any) -> None:
    with pytest.raises(ConfigError, match="must be"):
        make()


def test_secrets_are_not_in_the_words_of_an_error() -> None:
    for given in (
        {"auth": ("user:x", "hunter2")},
        {"headers": {"authorization": "hunter2\n"}},
        {"hosts": {"https://user:hunter2@example.com/?key=hunter2": Limits()}},
    ):
        with pytest.raises(ConfigError) as caught:
            resolved(**given)
        assert "hunter2" not in str(caught.value)


def test_an_unknown_option_gets_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"unknown option 'timout'; did you mean timeout\?"):
        resolved(timout=3)
    with pytest.raises(
        ConfigError, match=r"unknown option 'zzz'; the options are allow_private, auth, .*, verify"
    ):
        resolved(zzz=3)
    with pytest.raises(ConfigError, match=r"unknown option 'formt'; did you mean format\?"):
        resolved(formt="csv")


@pytest.mark.parametrize("name", sorted(OutputOptions.__annotations__))
def test_an_argument_of_run_is_refused_where_no_output_is_written(name: str) -> None:
    words = f"{name} is an argument of run and arun"
    with pytest.raises(ConfigError, match=words) as caught:
        resolved(**{name: None})
    assert caught.value.option == name
    with pytest.raises(ConfigError, match=words):
        Options().for_job({name: None})


def test_the_options_of_the_output_are_told_from_all_others() -> None:
    given: RunOptions = {"format": "csv", "ordered": True, "since": None}
    assert split_output(given) == ({"format": "csv", "since": None}, {"ordered": True})
    assert given == {"format": "csv", "ordered": True, "since": None}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("cert", "client.pem"),
    ],
)
def test_an_option_that_is_not_built_is_refused_and_never_ignored(option: str, value: object) -> None:
    with pytest.raises(ConfigError, match="is not available in this version"):
        resolved(**{option: value})


def test_options_that_ask_for_nothing_are_accepted_when_not_built() -> None:
    assert resolved(proxy=None, cert=None) == Options()


def test_two_spellings_of_one_option_are_refused() -> None:
    with pytest.raises(ConfigError, match="the same option"):
        resolved(follow_redirects=True, allow_redirects=False)


def test_a_call_sets_its_own_options_and_no_others() -> None:
    options = resolved(concurrency=5)
    assert options.for_job({}) is options
    for name in ("ordered", "dedupe"):
        assert options.for_job({name: True}) == resolved(concurrency=5, **{name: True})
    with pytest.raises(ConfigError, match="belongs to the client"):
        options.for_job({"concurrency": 6})
    with pytest.raises(ConfigError, match="unknown option"):
        options.for_job({"orderd": True})
    with pytest.raises(ConfigError, match="ordered"):
        options.for_job({"ordered": 1})
