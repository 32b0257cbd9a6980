"""The arguments of the commands that take the output of a run: `hurtle retry` and `hurtle cat`."""

import argparse

from hurtle.cli.args import FETCH_EPILOG, Parser, add_options
from hurtle.sources import FORMATS as INPUT_FORMATS


def add_retry(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add the arguments of `hurtle retry`."""
    retry = commands.add_parser(
        "retry",
        help="ask again for the failed rows of a run that has ended",
        description="Ask again for some rows of a run that has ended. Their newer rows take the place of the"
        " old ones. A retry that was interrupted is gone on with by the same command.",
        epilog=FETCH_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_out(retry)
    group = retry.add_argument_group("which rows, and what they asked for")
    group.add_argument(
        "--where",
        default="not ok",
        metavar="EXPR",
        help="SQL over the columns of the result table, as \"error like 'timeout.%%'\" (not ok)",
    )
    group.add_argument(
        "-i",
        "--input",
        metavar="INPUT",
        help="the list that the run was made from, where it is not there any more",
    )
    group.add_argument(
        "--input-format", choices=INPUT_FORMATS, help="the list's format, where its name does not say it"
    )
    group.add_argument(
        "--since",
        metavar="OLD",
        help="the earlier run that OUT refreshes, where OUT is a file and cannot say it",
    )
    group.add_argument(
        "--restart", action="store_true", help="drop what an interrupted retry still wants, and pick anew"
    )
    group.add_argument(
        "--resend-unknown", action="store_true", help="ask also for rows that may have been sent"
    )
    group.add_argument("-q", "--quiet", action="store_true", help="no progress and no summary")
    add_options(retry)


def add_cat(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add the arguments of `hurtle cat`."""
    cat = commands.add_parser(
        "cat",
        help="write the rows of a run to stdout",
        description="Write the rows of a run to stdout, of each request the newest, whether the run has ended"
        " or not: what is committed.",
        allow_abbrev=False,
    )
    _add_out(cat)
    cat.add_argument(
        "--format", choices=("jsonl", "arrow"), default="jsonl", help="JSON lines, or an Arrow stream (jsonl)"
    )
    cat.add_argument("--where", metavar="EXPR", help='only these rows, as "status >= 500"; see hurtle retry')


def _add_out(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "out", metavar="OUT", help="the output of the run: a file, a folder, or the address of a database"
    )
