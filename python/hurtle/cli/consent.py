"""Hints how to send again what may have been sent, which needs consent, and what a host refused."""

import shlex
from contextlib import suppress

from hurtle.cli.args import RESEND
from hurtle.client.remaining import SENT_UNKNOWN
from hurtle.errors import HurtleError
from hurtle.outputs.names import Remote, place_of, without_password
from hurtle.report import Summary
from hurtle.report.text import count_text
from hurtle.runs import open_run

_WHERE = f"error = '{SENT_UNKNOWN}'"

THROTTLED = "host.throttled"
"""The code of rows that were never sent, because their host refused all others."""

_REFUSED = f"error = '{THROTTLED}' or throttled > 0 and not ok"


def sent_unknown(summary: Summary, out: str, *, consented: bool) -> int:
    """Count the rows that a run reported as possibly sent.

    Args:
        summary: The summary of the run, which has ended.
        out: Its output.
        consented: Whether the run had consent to resend. Then rows of earlier runs count: they were already
            there and were not requested again.
    """
    unknown = summary.errors.get(SENT_UNKNOWN, 0)
    if consented and summary.resumed_failed:
        with suppress(HurtleError):  # the run is done, and this is only a hint
            unknown = len(open_run(out).where(_WHERE))
    return unknown


def consent_hint(rows: int, out: str, listed: str | None) -> str:
    """Say how to resend such rows with consent.

    Args:
        rows: How many there are.
        out: The output that has them.
        listed: The list that they come from, if it is a file: a finished file does not record it.
    """
    said = f"hurtle: {count_text(rows, 'row')} may have been sent already; to resend with your consent"
    return _retry(said, out, listed, f'--where "{_WHERE}" {RESEND}')


def refused_hint(rows: int, out: str, listed: str | None) -> str | None:
    """Say how to request rows again that a host refused to the end.

    Args:
        rows: How many were never sent because of that.
        out: The output that has them.
        listed: As for `consent_hint`.

    Returns:
        The hint; None if the output is a stream, which nobody reads back.
    """
    if out == "-":
        return None
    were = "was" if rows == 1 else "were"
    said = f"hurtle: {count_text(rows, 'row')} {were} not sent, because the host refused all others"
    return _retry(f"{said}; to try again when it takes requests", out, listed, f'--where "{_REFUSED}"')


def _retry(said: str, out: str, listed: str | None, rest: str) -> str:
    """Return a hint that ends with the command; without one for an output in which no row can be replaced."""
    match place_of(out):
        case Remote():
            return f"{said}, fetch these requests to another output"
        case _:
            shown = shlex.quote(out) if without_password(out) == out else "OUT"
            given = "" if listed is None else f" -i {shlex.quote(listed)}"
            return f"{said}: hurtle retry {shown}{given} {rest}"
