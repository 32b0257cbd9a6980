"""`hurtle download`: a list of URLs in, a folder of files out."""

import sys
from argparse import Namespace

from hurtle.api import Client
from hurtle.assembly import open_download, summary_of
from hurtle.cli.fetch import given_source, tell
from hurtle.cli.run_options import given_options
from hurtle.cli.status import EXIT_OK, EXIT_SOME_FAILED
from hurtle.options import FILE_DEFAULTS, OptionsDict
from hurtle.report.text import summary_text


def download(given: Namespace) -> int:
    """Send the requests, write the files, print the summary.

    Returns:
        0 when all are there, 1 when some failed.
    """
    options = given_options(given)
    if given.quiet or given.verbose:
        options["progress"] = False
    defaults: OptionsDict = FILE_DEFAULTS | {"progress": True}
    with Client(**(defaults | options)) as client:
        client.engine()  # options that only the engine can check fail here, before the folder is touched
        job = open_download(
            client,
            given_source(given),
            given.folder,
            client.options,
            name_from=given.name_from,
            name_column=given.name_column,
            restart=given.restart,
            observe=tell if given.verbose else None,
        )
        try:
            outcome = job.run()
        except BaseException:
            if job.waits_at is not None:
                print(f"hurtle: the files so far are in {job.waits_at}", file=sys.stderr)
                print("hurtle: to resume: the same command", file=sys.stderr)
            raise
    summary = summary_of(outcome, client.options)
    if not given.quiet:
        print(summary_text(summary), file=sys.stderr)
    return EXIT_OK if summary.all_ok else EXIT_SOME_FAILED
