"""The arguments of the commands that take the output of a run: `hurtle retry` and `hurtle cat`."""

import argparse

from hurtle.cli.args import FETCH_EPILOG, add_options
from hurtle.cli.parsing import Parser
from hurtle.sources import FORMATS as INPUT_FORMATS


def add_retry(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add the arguments of `hurtle retry`."""
    retry = commands.add_parser(
        "retry",
        help="request the failed rows of a finished run again",
        description="Request some rows of a finished run again. The new rows replace the old ones. The same"
        " command resumes an interrupted retry.",
        epilog=FETCH_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_out(retry)
    group = retry.add_argument_group("which rows, and their requests")
    group.add_argument(
        "--where",
        default="not ok",
        metavar="EXPR",
        help="SQL over the columns of the result table, such as \"error like 'timeout.%%'\" (not ok)",
    )
    group.add_argument(
        "-i",
        "--input",
        metavar="INPUT",
        help="the list that the run was made from, if it has moved",
    )
    group.add_argument(
        "--input-format", choices=INPUT_FORMATS, help="the list's format, if its name does not say it"
    )
    group.add_argument(
        "--since",
        metavar="OLD",
        help="the earlier run that OUT refreshes, if OUT is a file, which does not record it",
    )
    group.add_argument(
        "--restart",
        action="store_true",
        help="drop what an interrupted retry still wants, and pick the rows again",
    )
    group.add_argument(
        "--resend-unknown", action="store_true", help="resend also rows that may have been sent"
    )
    group.add_argument("-q", "--quiet", action="store_true", help="no progress and no summary")
    add_options(retry)


def add_cat(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add the arguments of `hurtle cat`."""
    cat = commands.add_parser(
        "cat",
        help="write the rows of a run to stdout",
        description="Write the committed rows of a run to stdout, for each request the newest, whether or not"
        " the run has ended.",
        allow_abbrev=False,
    )
    _add_out(cat)
    cat.add_argument(
        "--format", choices=("jsonl", "arrow"), default="jsonl", help="JSON lines, or an Arrow stream (jsonl)"
    )
    cat.add_argument(
        "--where", metavar="EXPR", help='only these rows, such as "status >= 500"; see hurtle retry'
    )


def _add_out(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "out", metavar="OUT", help="the output of the run: a file, a folder, or the address of a database"
    )
