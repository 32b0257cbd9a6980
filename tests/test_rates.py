"""Rates: one exact grammar; anything else is refused, and the message shows the grammar."""

import pytest

from hurtle.errors import ConfigError
from hurtle.rates import GRAMMAR, MOST_PER_S, Rate, rate_limit, rate_text


@pytest.mark.parametrize(
    ("written", "rate"),
    [
        (50, Rate(50)),
        ("50", Rate(50)),
        ("50/s", Rate(50)),
        ("50 / sec", Rate(50)),
        ("50/second", Rate(50)),
        (" 50/Seconds ", Rate(50)),
        ("100/min", Rate(100, 60)),
        ("100/minute", Rate(100, 60)),
        ("30/5min", Rate(30, 300)),
        ("30/5 minutes", Rate(30, 300)),
        ("1/h", Rate(1, 3600)),
        ("1/hour", Rate(1, 3600)),
        ("1/1.5hours", Rate(1, 5400)),
        ("1000/day", Rate(1000, 86400)),
        ("1000/2d", Rate(1000, 2 * 86400)),
        ("1/7days", Rate(1, 7 * 86400)),
        ("10/500ms", Rate(10, 0.5)),
        ("1/ms", Rate(1, 0.001)),
        ("100/min burst 20", Rate(100, 60, 20)),
        ("5 burst 3", Rate(5, 1, 3)),
        (Rate(3, 7, 2), Rate(3, 7, 2)),
        (MOST_PER_S, Rate(MOST_PER_S)),
    ],
)
def test_a_rate_is_understood_when_the_grammar_has_it(written: object, rate: Rate) -> None:
    assert rate_limit("rate_limit", written) == rate


@pytest.mark.parametrize(
    ("written", "rate"),
    [
        (0.5, Rate(1, 2)),
        ("0.5", Rate(1, 2)),
        ("0.5/s", Rate(1, 2)),
        ("2.5/min", Rate(5, 120)),
        (0.1, Rate(1, 10)),
        (1 / 3, Rate(1, 3)),
        (99.9, Rate(999, 10)),
    ],
)
def test_counts_are_whole_when_the_rate_is_a_fraction(written: object, rate: Rate) -> None:
    assert rate_limit("rate_limit", written) == rate


def test_words_stay_words() -> None:
    assert rate_limit("rate_limit", "auto") == "auto"
    assert rate_limit("rate_limit", " None ") == "none"


@pytest.mark.parametrize(
    "written",
    [
        "fast", "10/fortnight", "", "/s", "50/", "50//s", "-1", "-1/s", "+1/s", "1e3/s", "1,000/s", "1_000/s",
        "0", "0/s", "50/0s", "1/0.5ms", "٣/s", "50 per s", "50/s/s", "1/s burst", "1/s burst 0",
        "1/s burst -1", "1/s burst 1.5", "1/sburst 2", "9" * 400, "1/" + "9" * 400 + "s", "5000000000/day",
        "1/100000d", 0, -1, 0.0, -0.5, 1e-9, float("nan"), float("inf"), True, False, None, b"50", (50, 1),
        MOST_PER_S + 1, 10**400,
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_the_value_and_the_grammar(written: object) -> None:
    with pytest.raises(ConfigError) as caught:
        rate_limit("rate_limit_per_host", written)
    shown = repr(written)[:70] if written != 10**400 else "1000"
    assert f"rate_limit_per_host={shown}" in str(caught.value)
    assert GRAMMAR in str(caught.value)
    assert caught.value.option == "rate_limit_per_host"


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (Rate(50), "50/s"),
        (Rate(100, 60, 20), "100/min burst 20"),
        (Rate(30, 300), "30/5min"),
        (Rate(1, 5400), "1/90min"),
        (Rate(7, 7200), "7/2h"),
        (Rate(1000, 86400), "1000/day"),
        (Rate(1, 100), "1/100s"),
        (Rate(10, 0.5), "10/0.5s"),
        (Rate(1, 0.001), "1/0.001s"),
        (Rate(1, 1e9), "1/1000000000s"),
    ],
)
def test_a_rate_is_written_as_it_is_read(rate: Rate, text: str) -> None:
    assert str(rate) == text
    assert rate_limit("rate_limit", text) == rate


def test_every_rate_is_read_back_as_itself() -> None:
    for count in (1, 2, 3, 7, 59, 60, 1000):
        for milliseconds in (1, 7, 10, 333, 1000, 1001, 60_000, 90_000, 3_600_000, 86_400_000, 604_800_000):
            for burst in (1, 5):
                rate = Rate(count, milliseconds / 1000, burst)
                assert rate_limit("rate_limit", str(rate)) == rate


@pytest.mark.parametrize(
    ("per_s", "text"),
    [
        (12345.6, "12345/s"),
        (59.9, "59/s"),
        (1, "1/s"),
        (2.57, "2.5/s"),
        (0.2, "12/min"),
        (1 / 60, "1/min"),
        (1 / 600, "6/h"),
        (1 / 86400, "1/day"),
        (4e-6, "0.34/day"),
    ],
)
def test_a_rate_that_was_found_is_written_as_a_limit_just_below_it(per_s: float, text: str) -> None:
    assert rate_text(per_s) == text
    limit = rate_limit("rate_limit", text)
    assert isinstance(limit, Rate)
    assert 0.9 * per_s < limit.per_s <= per_s * (1 + 1e-9)


def test_per_s_is_the_long_run() -> None:
    assert Rate(100, 60).per_s == pytest.approx(100 / 60)


@pytest.mark.parametrize(
    ("count", "per", "burst"),
    [
        (0, 1, 1),
        (1.5, 1, 1),
        (1, 0, 1),
        (1, 0.0005, 1),
        (1, float("nan"), 1),
        (1, 1, 0),
        (MOST_PER_S, 0.5, 1),
    ],
)
def test_a_rate_checks_its_own_values(count: int, per: float, burst: int) -> None:
    with pytest.raises(ConfigError, match=r"rate\."):
        Rate(count, per, burst)
