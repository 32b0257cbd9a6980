"""`make limiters`: runs hurtle against real limiters, and writes docs/limiters.md.

Usage: python -m tests.limiters [LIMITER ...]: only limiters whose name holds one of these words.
Ends with 1 when a run did not reach what it has to, 2 for a word that is in no name.
"""

import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from time import monotonic

from tests.limiters.installs import ROOT, MissingError
from tests.limiters.limiters import Limiter, chosen
from tests.limiters.modes import MODES
from tests.limiters.report import page, summary_of
from tests.limiters.results import Result, Results, load, save
from tests.limiters.tap import Tap
from tests.limiters.trial import ask_too_often, run_hurtle, served, stop_all

AT_ONCE = 4
"""Limiters on trial at once: nearly all of the time is waiting."""

PAGE = ROOT / "docs" / "limiters.md"


def main(words: Sequence[str]) -> int:
    try:
        limiters = chosen(words)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    start = monotonic()
    fresh = {one.name: missing for one in limiters if (missing := install(one)) is not None}
    if fresh:
        keep(fresh)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        trials = {pool.submit(on_trial, one): one for one in limiters if one.name not in fresh}
        try:
            for trial in as_completed(trials):
                one = trials[trial]
                fresh[one.name] = trial.result()
                keep(fresh)
                print(summary_of(one, fresh[one.name]), flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop_all()
            raise
    misses = [
        f"{name}, {mode}: {', '.join(missed)}"
        for name, result in fresh.items()
        for mode, run in result.runs.items()
        if (missed := run.misses(MODES[mode]))
    ]
    for miss in misses:
        print(f"not reached: {miss}", file=sys.stderr)
    problems = [result for result in fresh.values() if result.problem]
    print(f"\n{len(fresh)} limiters, {len(misses)} runs short of the mark, {monotonic() - start:.0f} s")
    return 1 if misses or problems else 0


def keep(fresh: Results) -> None:
    """Put new results among those that are kept, and write the page from all of them."""
    results = load() | fresh
    save(results)
    PAGE.write_text(page(results), encoding="utf-8")


def install(one: Limiter) -> Result | None:
    """Install a limiter; if it is not available, return that as its result."""
    print(f"installing {one.name}", file=sys.stderr, flush=True)
    try:
        one.kit.install(one.server)
    except MissingError as error:
        print(f"{one.name}: {error}", file=sys.stderr, flush=True)
        return Result(problem=str(error))
    return None


def on_trial(one: Limiter) -> Result:
    """Run everything with one limiter, with a fresh server each time."""
    version = one.kit.version(one.package)
    try:
        quota = one.quota_of("default")
        with served(one, quota) as port, Tap(port) as tap:
            sent = ask_too_often(tap, quota)
        runs = {}
        for mode in MODES:
            quota = one.quota_of(mode)
            with served(one, quota) as port:
                runs[mode] = run_hurtle(port, mode, one.rule, quota)
    except RuntimeError as error:
        return Result(version=version, problem=str(error))
    return Result(version=version, sent=sent, runs=runs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
