"""The benchmark: `python -m benchmarks [CASE...]`, all cases by default. `make bench` runs this."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from benchmarks import budgets, report
from benchmarks.cases import CASES
from benchmarks.machine import CLIENT_CORE, SERVER_CORE
from benchmarks.measure import NoisyMachineError, Terms

CASE_SECONDS_AT_MOST = 300.0
"""A case that takes longer hangs."""


def main() -> int:
    """Measure, write each case's JSON file, and RESULTS.md from all of them.

    Returns:
        0 if every case was measured, 1 if one was not, 2 if this machine cannot measure.
    """
    given = _arguments()
    needed = {SERVER_CORE, CLIENT_CORE}
    if not hasattr(os, "sched_getaffinity") or not needed <= os.sched_getaffinity(0):
        print(f"the benchmark needs Linux and the cores {sorted(needed)}", file=sys.stderr)
        return 2
    names: list[str] = given.cases or list(CASES)
    if given.render:
        failed = []
    elif len(names) == 1:
        failed = [] if _measure(names[0], _terms(given)) else names
    else:
        failed = [name for name in names if not _in_process_of_its_own(name)]
    documents = report.read(list(CASES))
    text = report.render(documents, list(CASES), budgets.table_of(documents))
    report.RESULTS.write_text(text, encoding="utf-8")
    if failed:
        print(f"not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    usual = Terms()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--runs", type=int, default=usual.runs, help="rounds that count (%(default)s)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=usual.seconds_at_most,
        help="start no further round of a case after this many seconds (%(default)s)",
    )
    parser.add_argument(
        "--share", type=float, default=usual.share, help="share of the usual number of requests (%(default)s)"
    )
    parser.add_argument(
        "--accept-noise", action="store_true", help="count rounds on a busy machine too, and say so"
    )
    parser.add_argument("--render", action="store_true", help="measure nothing, only rewrite RESULTS.md")
    given = parser.parse_args()
    if unknown := [name for name in given.cases if name not in CASES]:
        parser.error(f"no such case: {', '.join(unknown)}; choose from {', '.join(CASES)}")
    return given


def _terms(given: argparse.Namespace) -> Terms:
    return Terms(
        runs=given.runs,
        seconds_at_most=given.seconds,
        share=given.share,
        accept_noise=given.accept_noise,
    )


def _measure(name: str, terms: Terms) -> bool:
    print(f"== {name}", flush=True)
    try:
        report.write(CASES[name](terms))
    except (NoisyMachineError, RuntimeError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return False
    return True


def _in_process_of_its_own(name: str) -> bool:
    """Run one case as its own command, so that its pinned processes and imports do not affect the next."""
    flags = [argument for argument in sys.argv[1:] if argument not in CASES]
    command = [sys.executable, "-m", "benchmarks", name, *flags]
    try:
        return subprocess.run(command, check=False, timeout=CASE_SECONDS_AT_MOST).returncode == 0
    except subprocess.TimeoutExpired:
        print(f"{name}: did not end within {CASE_SECONDS_AT_MOST:.0f} seconds", file=sys.stderr)
        return False


if __name__ == "__main__":
    raise SystemExit(main())
