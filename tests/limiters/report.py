"""The page: docs/limiters.md, written from the results."""

from collections.abc import Iterator, Sequence

from tests.limiters.limiters import LIMITERS, Limiter
from tests.limiters.modes import MODES, Mode
from tests.limiters.results import Result, Results
from tests.limiters.trial import Run

HEAD = """\
# Real rate limiters

What widely used rate limiters send, and how hurtle fares with them. `make limiters` installs each at the
version given here, starts it on a loopback port, runs hurtle against it in a process of its own, and writes
this page; `make limiters LIMITERS="express nginx"` runs only those again.

- Header lines are as they crossed the wire: with the first 200, and with the first refusal.
- A refusal is an answer that is not a 200, counted on the wire between hurtle and the limiter.
- The ideal is the time, from the first request to the last, of a client that knows the limiter from inside
  and sends in the first moment that admits a request. Each limiter has a model for that: a fixed window,
  which the first request opens; a sliding log, which remembers each request; a sliding counter, where the
  window before counts with the share of it that still overlaps; a bucket, which gives its whole size at
  once, and then one request in each `window / limit`. With 5 in 5 s, 20 requests take 15 s from a fixed
  window, a sliding log and a bucket, and 19.5 s from a sliding counter.
- The time is that of hurtle's whole run, which is stopped after three times the ideal and 30 s.
"""


def page(results: Results) -> str:
    """Return the page, in Markdown."""
    had = [one for one in LIMITERS if one.name in results]
    parts = [HEAD, "## What they send\n", *_sent_table(had, results)]
    for name, mode in MODES.items():
        parts += [f"\n## {mode.title}\n", f"{_goal_of(mode)}\n", *_run_table(name, mode, had, results)]
    problems = [(one, results[one.name].problem) for one in had if results[one.name].problem]
    if problems:
        parts += ["\n## Not run\n", *(f"- {one.title}: {why}" for one, why in problems)]
    return "\n".join(parts) + "\n"


def _sent_table(had: Sequence[Limiter], results: Results) -> Iterator[str]:
    yield "| limiter | version | with a 200 | with the refusal | what it means |"
    yield "|---|---|---|---|---|"
    for one in had:
        result = results[one.name]
        if result.sent is not None and result.version is not None:
            refused = f"{result.sent.status}<br>{_lines(result.sent.refused)}"
            meaning = f"{one.units}. {one.note}" if one.note else one.units
            yield _row(one.title, result.version, _lines(result.sent.granted), refused, meaning)


def _lines(lines: Sequence[str]) -> str:
    return "<br>".join(f"`{line}`" for line in lines) or "none"


def _goal_of(mode: Mode) -> str:
    goals = [f"{mode.requests} of {mode.requests} rows ok"]
    if mode.most_in_a_window is not None:
        goals.append(f"at most {mode.most_in_a_window} refusals in one window after the first")
    if mode.most_refused is not None:
        goals.append(f"at most {mode.most_refused * mode.requests:.0f} refusals")
    goals.append(f"at most {mode.most_times_ideal:g} times the ideal time")
    quota = mode.quota
    return (
        f"{mode.requests} requests, {quota.limit} in {quota.window_s} s unless said. To be reached: "
        f"{', '.join(goals)}."
    )


def _run_table(name: str, mode: Mode, had: Sequence[Limiter], results: Results) -> Iterator[str]:
    yield "| limiter | rows ok | refusals | in one window | time | ideal | time / ideal | reached |"
    yield "|---|--:|--:|--:|--:|--:|--:|---|"
    for one in had:
        run = results[one.name].runs.get(name)
        if run is not None:
            yield _run_row(_title(one, name), run, mode)


def _title(one: Limiter, mode: str) -> str:
    quota = one.quotas.get(mode)
    return one.title if quota is None else f"{one.title} ({quota.limit} in {quota.window_s} s)"


def _run_row(title: str, run: Run, mode: Mode) -> str:
    lost = ", ".join(f"{count} × {how}" for how, count in run.ended.items())
    missed = run.misses(mode)
    return _row(
        title,
        f"{run.ok} of {run.rows}" + (f" ({lost})" if lost else ""),
        str(run.refused),
        str(run.most_in_a_window),
        f"{'> ' if run.stopped else ''}{run.seconds:.1f} s",
        f"{run.ideal_seconds:.1f} s",
        f"{run.times_ideal:.2f}",
        f"no: {', '.join(missed)}" if missed else "yes",
    )


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def summary_of(one: Limiter, result: Result) -> str:
    """Return a limiter's figures on one line, to show progress."""
    if result.problem:
        return f"{one.name}: {result.problem}"
    said = [
        f"{name} {run.ok}/{run.rows}, {run.refused} refused, {run.seconds:.1f} s of {run.ideal_seconds:.1f} s"
        for name, run in result.runs.items()
    ]
    return f"{one.name} {result.version}: {'; '.join(said)}"
