"""`plan`: read the real list, send nothing, estimate how long it takes."""

from itertools import islice
from typing import Unpack

from hurtle import checks
from hurtle.options import Options, OptionsDict
from hurtle.planning.advice import advice, assumptions, critical
from hurtle.planning.estimate import Estimate, Estimator
from hurtle.planning.tally import Tally
from hurtle.report.plan import Plan
from hurtle.sources import Requests, Source, open_source

CHUNK = 1024
"""Rows read at a time."""

LATENCY_S = 0.2
"""Default for the assumed seconds from a request to the end of its answer."""


def plan(requests: Requests, *, latency: float = LATENCY_S, **options: Unpack[OptionsDict]) -> Plan:
    """Estimate how long a list takes under these options, per host and as a whole, and what to change.

    The list is read to its end and nothing is sent. Memory grows with the number of hosts; the rows
    themselves are not kept.

    Args:
        requests: As for `stream`; it must end.
        latency: Assumed seconds from a request to the end of its answer.
        **options: See `OptionsDict`.

    Returns:
        Times, counts and advice; `print` shows them.

    Raises:
        ConfigError: A wrong option or input.

    Example:
        >>> found = plan(["http://a.example/1", "http://a.example/2"], rate_limit_per_host="1/min")
        >>> found.seconds
        60.0
    """
    resolved = Options.resolve(options)
    return plan_source(open_source(requests), resolved, latency=checks.seconds("latency", latency))


def plan_source(source: Source, options: Options, *, latency: float) -> Plan:
    """Return the plan of an open source under resolved options."""
    tally = Tally()
    _read(source, tally, options)
    from hurtle._engine import groups_of

    estimator = Estimator(tally.hosts(), latency, groups_of)
    found = estimator.estimate(options)
    return _plan(source, tally, options, found, latency, advice(found, estimator, options))


def _read(source: Source, tally: Tally, options: Options) -> None:
    from hurtle._engine import identify

    rows = iter(source)
    try:
        while chunk := list(islice(rows, CHUNK)):
            tally.add(identify(chunk, options.params))
    finally:
        source.close()


def _plan(
    source: Source,
    tally: Tally,
    options: Options,
    found: Estimate,
    latency: float,
    sentences: tuple[str, ...],
) -> Plan:
    whole = found.whole
    sendable, unfit = tally.sendable, tally.errors.total()
    return Plan(
        rows=sendable + unfit,
        requests=whole.requests,
        hosts=found.hosts,
        http=sendable - tally.https,
        https=tally.https,
        errors=dict(tally.errors.most_common()),
        skipped=source.skipped,
        duplicates=whole.duplicates,
        compared=tally.compared,
        dedupe=options.dedupe,
        rate_limit=whole.rate_limit,
        concurrency=whole.concurrency,
        rate_s=whole.rate_s,
        concurrency_s=whole.concurrency_s,
        latency=latency,
        seconds=found.seconds,
        critical=critical(found),
        advice=sentences,
        assumptions=assumptions(found, options, latency),
    )
