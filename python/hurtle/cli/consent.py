"""Hints about requests that may have been sent, and are resent only with consent."""

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
    match place_of(out):
        case Remote():
            return f"{said}, fetch these requests to another output"
        case _:
            shown = shlex.quote(out) if without_password(out) == out else "OUT"
            given = "" if listed is None else f" -i {shlex.quote(listed)}"
            return f'{said}: hurtle retry {shown}{given} --where "{_WHERE}" {RESEND}'
