"""`hurtle selftest`: what is promised about misbehaving servers, tried on this machine."""

import json
import sys
from argparse import Namespace

from hurtle.chaos import Case, Score, run_cases
from hurtle.chaos.table import CASES
from hurtle.cli.status import EXIT_OK, EXIT_SOME_FAILED
from hurtle.errors import ConfigError

WHAT_COLUMNS = 42
"""What a case is takes no more, so that a line with the longest error code fits into 80 columns."""


def selftest(given: Namespace) -> int:
    """Run the cases, and print each as it ends: on stdout as JSON lines or text, the total on stderr.

    Returns:
        0 if every case ended as promised, else 1.
    """
    cases = _picked(given.cases)
    write = _as_json if given.json else _as_text
    passed = 0
    for score in run_cases(cases):
        print(write(score), flush=True)
        passed += score.passed
    print(f"{passed} of {len(cases)} cases ended as promised", file=sys.stderr)
    return EXIT_OK if passed == len(cases) else EXIT_SOME_FAILED


def _picked(names: list[str]) -> tuple[Case, ...]:
    known = {case.id: case for case in CASES}
    wanted = [name.lower() for name in names] or list(known)
    if unknown := [name for name in wanted if name not in known]:
        raise ConfigError(f"unknown case {unknown[0]!r}; known: {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(wanted))


def _as_text(score: Score) -> str:
    mark = "ok  " if score.passed else "FAIL"
    line = f"{mark} {score.case.id:<4} {score.case.what:<{WHAT_COLUMNS}} {', '.join(score.ends)}"
    return line if score.passed else f"{line}\n          {score.complaint}"


def _as_json(score: Score) -> str:
    return json.dumps(
        {
            "case": score.case.id,
            "what": score.case.what,
            "passed": score.passed,
            "ended": score.ends,
            "promised": score.case.ends,
            "complaint": score.complaint,
        }
    )
