"""The arguments of `hurtle download`."""

import argparse

from hurtle.cli.args import FETCH_EPILOG, add_options, add_requests
from hurtle.cli.parsing import Parser
from hurtle.file_names import NAME_PLACES


def add_download(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add the arguments of `hurtle download`."""
    download = commands.add_parser(
        "download",
        help="write the body of each response to a file in a folder",
        description="Download files into a folder. A file appears when it is complete. The same command"
        " resumes an interrupted download. Of a file that was cut, servers that can are asked for the rest.",
        epilog=FETCH_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_requests(download)
    group = download.add_argument_group("input and output")
    group.add_argument(
        "-o", "--output", dest="folder", default=".", metavar="DIR", help="the folder of the files (.)"
    )
    group.add_argument(
        "--name-from",
        choices=NAME_PLACES,
        default=NAME_PLACES[0],
        help="name files by the URL, or by Content-Disposition, with the number of the row (url)",
    )
    group.add_argument("--name-column", metavar="NAME", help="the column of the list that has the names")
    group.add_argument(
        "--restart",
        action="store_true",
        help="drop the download that DIR holds, with its files, and start over",
    )
    group.add_argument("-q", "--quiet", action="store_true", help="no progress and no summary")
    group.add_argument("-v", "--verbose", action="store_true", help="a line on stderr for each response")
    add_options(download)
