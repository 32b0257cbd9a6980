"""Sentences: what takes the longest, what to change, what was assumed. Pure functions of estimates."""

from collections.abc import Iterator
from dataclasses import replace
from math import ceil

from hurtle.checks import MAX_COUNT
from hurtle.limits import Limits, is_shared
from hurtle.options import Options
from hurtle.planning.estimate import Estimate, Estimator, Limit
from hurtle.rates import Rate, rate_limit
from hurtle.report.plan import HostPlan
from hurtle.report.text import count_text, seconds_text

LEAST_GAIN = 0.05
"""A change must save this share of the time to be worth a sentence. Times closer than this count as alike."""

MOST_TIMES = 4
"""Advice raises a limit by at most this factor. Beyond it, only a host's owner knows what it can take."""

WORTH_S = 10.0
"""For a list that takes fewer seconds than this, no limit is worth raising."""


def critical(found: Estimate) -> str:
    """Return one sentence: what takes the longest, and the rest."""
    if not found.hosts:
        return "There is nothing to send."
    if not found.seconds:
        return 'How long it takes is found while sending: the limits are "auto".'
    first, others = found.hosts[0], found.hosts[1:]
    if found.whole.seconds > first.seconds * (1 + LEAST_GAIN):
        slowest = f"; the slowest host alone, {first.host}, needs {_span(first.seconds)}" if others else ""
        return f"All hosts together need {_span(found.seconds)} by {_limit_of_all(found.whole)}{slowest}."
    if not others:
        return f"{first.host}, the only host, needs {_span(first.seconds)} by its {_limit(first)}."
    alike = sum(load.seconds >= first.seconds * (1 - LEAST_GAIN) for load in others)
    if alike:
        as_long = count_text(alike, "other host")
        return f"{first.host} needs {_span(first.seconds)} by its {_limit(first)}, {as_long} about as long."
    rest = _span(_rest(found))
    return f"{first.host} alone needs {_span(first.seconds)} by its {_limit(first)}, all else {rest}."


def advice(now: Estimate, estimator: Estimator, options: Options) -> tuple[str, ...]:
    """Return sentences: which option to change, to which value, and what it gains.

    Args:
        now: The estimate under these options.
        estimator: Estimates other options.
        options: The current options.
    """
    if not now.hosts:
        return ()
    sentences = [*_too_short(now, options), *_dedupe(now, estimator, options)]
    if now.seconds < WORTH_S:
        return tuple(sentences)
    if now.whole.seconds > now.hosts[0].seconds:
        sentences += _raise_whole(now, estimator, options)
    else:
        sentences += _raise_host(now, estimator, options)
    return tuple(sentences)


def assumptions(found: Estimate, options: Options, latency: float) -> tuple[str, ...]:
    """Return sentences: what cannot be known before sending."""
    sentences = [
        f"Every answer takes {seconds_text(latency)} (latency={latency:g}): measure it and set latency.",
        "Retries, opening connections and large bodies come on top.",
    ]
    if any(load.rate_limit == "auto" for load in (found.whole, *found.hosts)):
        sentences.append(
            'A rate limit of "auto" is found while sending, so its times are unknown and left out.'
        )
    if any(load.concurrency == "auto" for load in (found.whole, *found.hosts)):
        sentences.append(
            'A concurrency of "auto" is found while sending, so its times are unknown and left out.'
        )
    if options.limit_by == "ip":
        sentences.append("No name is resolved: names of one address share its limits, and then take longer.")
    if options.robots:
        sentences.append("A robots.txt, read while sending, may ask for longer waits or forbid rows.")
    return tuple(sentences)


def _too_short(now: Estimate, options: Options) -> Iterator[str]:
    limit = options.max_duration
    if limit is None or now.seconds <= limit:
        return
    left = sum(ceil(load.requests * (1 - limit / load.seconds)) for load in now.hosts if load.seconds > limit)
    whole = ceil(now.whole.requests * (1 - limit / now.seconds)) if now.whole.seconds > limit else 0
    unsent = count_text(max(left, whole), "request")
    yield (
        f"max_duration={limit:g} is too short: at least {unsent} would not be sent; "
        f"the list needs {_span(now.seconds)}."
    )


def _dedupe(now: Estimate, estimator: Estimator, options: Options) -> Iterator[str]:
    if options.dedupe or not now.whole.duplicates:
        return
    fewer = count_text(now.whole.duplicates, "request")
    then = estimator.seconds(replace(options, dedupe=True))
    yield f"dedupe=True would send {fewer} fewer{_gain(now.seconds, then)}."


def _raise_whole(now: Estimate, estimator: Estimator, options: Options) -> Iterator[str]:
    """Raise the limit over all hosts as far as that saves time."""
    whole, wanted = now.whole, _times(now.whole.seconds, now.hosts[0].seconds)
    if (rate := _binding_rate(whole)) is not None:
        rate = _faster(rate, wanted)
        raised, name = replace(options, rate_limit=rate), f'rate_limit="{rate}"'
    elif isinstance(whole.concurrency, int):
        concurrency = whole.concurrency * wanted
        raised, name = replace(options, concurrency=concurrency), f"concurrency={concurrency}"
    else:
        return
    then = estimator.seconds(raised)
    if _is_gain(now.seconds, then):
        yield f"{name} would make it {_span(then)}, if the machine, the network and the hosts allow it."


def _raise_host(now: Estimate, estimator: Estimator, options: Options) -> Iterator[str]:
    """Raise the limit of the slowest host, or of all hosts if several are equally slow."""
    first, others = now.hosts[0], now.hosts[1:]
    alike = [load for load in others if load.seconds >= first.seconds * (1 - LEAST_GAIN)]
    of_all = bool(alike or not others) and _is_as_all(first, options)
    wanted = _times(first.seconds, now.whole.seconds if of_all else _rest(now))
    own = Limit(None, first.concurrency).changed_by(Limits(rate_limit=first.rate_limit))
    if (rate := _binding_rate(first)) is not None:
        rate = _faster(rate, wanted)
        own, name = replace(own, rate=rate), f'rate_limit{"_per_host" * of_all}="{rate}"'
        raised = replace(options, rate_limit_per_host=rate)
    elif isinstance(first.concurrency, int):
        concurrency = first.concurrency * wanted
        own, name = replace(own, concurrency=concurrency), f"concurrency{'_per_host' * of_all}={concurrency}"
        raised = replace(options, concurrency_per_host=concurrency)
    else:
        return
    if of_all:
        then = estimator.seconds(raised)
    else:
        then = estimator.seconds(options, {first.host: own})
        shared = "shared=True, " * is_shared(first.host)
        name = f'hosts={{"{first.host}": Limits({shared}{name})}}'
    if _is_gain(now.seconds, then):
        allows = "the hosts allow it" if of_all and others else f"{first.host} allows it"
        yield f"{name} would make it {_span(then)}, if {allows}."


def _is_as_all(load: HostPlan, options: Options) -> bool:
    """Whether a host has the limits of all hosts."""
    rate = options.rate_limit_per_host
    as_all = Limit(rate, options.concurrency_per_host)
    return (load.rate_limit, load.concurrency) == (as_all.rate_text, as_all.concurrency)


def _rest(found: Estimate) -> float:
    """Return how long all hosts but the slowest take."""
    first, others = found.hosts[0], found.hosts[1:]
    if not others:
        return 0.0
    share = 1 - first.requests / found.whole.requests
    return max(others[0].seconds, found.whole.seconds * share)


def _times(seconds: float, rest: float) -> int:
    """Return the factor to raise a limit by until something else takes longer."""
    return max(2, min(MOST_TIMES, ceil(seconds / rest))) if rest > 0 else MOST_TIMES


def _binding_rate(load: HostPlan) -> Rate | None:
    """Return the rate if it determines the time, and not the limit in flight."""
    if load.rate_limit is None or (load.rate_s or 0.0) < (load.concurrency_s or 0.0):
        return None
    limit = rate_limit("rate_limit", load.rate_limit)
    return limit if isinstance(limit, Rate) else None


def _faster(rate: Rate, times: int) -> Rate:
    if rate.count * times > MAX_COUNT:
        return Rate(rate.count, rate.per / times, rate.burst)
    return Rate(rate.count * times, rate.per, rate.burst)


def _is_gain(now: float, then: float) -> bool:
    return then < now * (1 - LEAST_GAIN)


def _gain(now: float, then: float) -> str:
    return f": {_span(then)} instead of {_span(now)}" if _is_gain(now, then) else ""


def _limit(load: HostPlan) -> str:
    if _binding_rate(load) is not None:
        return f"rate limit of {load.rate_limit}"
    return f"limit of {load.concurrency} in flight"


def _limit_of_all(whole: HostPlan) -> str:
    if _binding_rate(whole) is not None:
        return f"rate_limit {whole.rate_limit}"
    return f"concurrency {whole.concurrency}"


def _span(seconds: float) -> str:
    """Return a span as text; below a millisecond an estimate says nothing."""
    return seconds_text(max(seconds, 0.001))
