"""`hurtle retry`: request some rows of a run again."""

import sys
from argparse import Namespace

from hurtle.api import Client
from hurtle.cli.args import RESEND
from hurtle.cli.consent import consent_hint
from hurtle.cli.fetch import given_source
from hurtle.cli.run_options import given_options
from hurtle.cli.status import EXIT_OK, EXIT_SOME_FAILED
from hurtle.client.remaining import SENT_UNKNOWN
from hurtle.report.text import count_text, summary_text
from hurtle.rerun import Rerun, recorded_options
from hurtle.sources import Source


def retry(given: Namespace) -> int:
    """Request the picked rows again, write the new ones, print the summary.

    Returns:
        0 if all are ok now, 1 if some failed.
    """
    options = given_options(given)
    if given.quiet:
        options["progress"] = False

    def open_input(path: object) -> Source:
        given.requests = [path]
        return given_source(given)

    with Client(**recorded_options(given.out, {"progress": True} | options)) as client:
        rerun = Rerun(
            client,
            given.out,
            given.input,
            where=given.where,
            restart=given.restart,
            resend_unknown=given.resend_unknown,
            since=given.since,
            open_input=open_input,
        )
        if not given.quiet:
            _announce(rerun)
        try:
            summary = rerun.run()
        except BaseException:
            if rerun.waits_at is not None:
                again = "the same command" + (" without --restart" if given.restart else "")
                print(f"hurtle: the rows so far are in {rerun.waits_at}; to resume: {again}", file=sys.stderr)
            raise
    if not given.quiet:
        print(summary_text(summary), file=sys.stderr)
        if SENT_UNKNOWN in summary.errors:
            print(consent_hint(summary.errors[SENT_UNKNOWN], given.out, given.input), file=sys.stderr)
    return EXIT_OK if summary.all_ok else EXIT_SOME_FAILED


def _announce(rerun: Rerun) -> None:
    how = ""
    if rerun.rows and rerun.from_rows:
        how = (
            "; the input is missing, so they are sent as plain GETs of the rows' URLs, without credentials,"
            " headers and parameters of their own"
        )
    if rerun.rows and rerun.unlike:
        names = " and ".join(rerun.unlike)
        how += f"; {names} are not those of the run, which are not recorded because they may be secrets"
    if rerun.withheld:
        how += f"; {rerun.withheld:,} more may have been sent already: add {RESEND} to resend them"
    print(f"hurtle: {count_text(rerun.rows, 'row')} to retry{how}", file=sys.stderr)
