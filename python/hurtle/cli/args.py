"""The arguments of every command. Letters that curl uses keep their meaning."""

import argparse

from hurtle.cli.parsing import Parser, Unavailable
from hurtle.options import BODY_PLACES, Options
from hurtle.outputs.kinds import format_names
from hurtle.sources import FORMATS as INPUT_FORMATS
from hurtle.version import __version__

DEFAULTS = Options()
RESUMES = (
    ("--restart", "restart", "drop the run that OUT holds, and start over"),
    ("--no-resume", "never", "do not resume a run that OUT holds"),
    ("--resume", "trust", "resume it even if the input can be read only once, such as stdin"),
)
"""Without any of them, a run of the same input with the same options is resumed."""

RESEND = "--resend-unknown"
RESUMING = frozenset(flag for flag, _, _ in RESUMES) | {RESEND}
"""Left out of the command that resumes a run: consent to resend what is unknown now does not cover later."""

FETCH_EPILOG = """\
exit status: 0 all ok, 1 some requests failed, 2 wrong usage, 3 the run itself failed; 129, 130 or 143
interrupted.
A size is a number of bytes or text such as 64MiB. A rate is requests per time: 50 (a second), 100/min,
30/5min, 1000/day, '100/min burst 20' (units: ms, s, min, h, day), or auto, or none.
Messages name options as --config does: concurrency_per_host=20 is --concurrency-per-host 20;
hosts={"NAME": ...} is a table [hosts."NAME"] in the file.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    from hurtle.cli.download_args import add_download
    from hurtle.cli.run_args import add_cat, add_retry
    from hurtle.cli.tool_args import add_race, add_selftest, add_serve

    top = Parser(
        prog="hurtle",
        description="Send hundreds to millions of HTTP requests and lose none.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"hurtle {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_fetch(commands)
    add_download(commands)
    add_retry(commands)
    add_cat(commands)
    _add_plan(commands)
    add_race(commands)
    add_serve(commands)
    add_selftest(commands)
    commands.add_parser("version", help="print the version of hurtle, its engine and Python")
    return top


def _add_fetch(commands: "argparse._SubParsersAction[Parser]") -> None:
    fetch = commands.add_parser(
        "fetch",
        help="send a list of requests and write one row for each",
        description="Send a list of requests and write one row for each. Reads text, JSONL, CSV, Parquet.",
        epilog=FETCH_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_requests(fetch)
    _add_files(fetch.add_argument_group("input and output"))
    add_options(fetch)


def add_requests(command: argparse.ArgumentParser) -> None:
    """Add the arguments for the list of requests."""
    command.add_argument(
        "requests",
        nargs="+",
        metavar="URLS",
        help='a file, "-" for stdin, or the URLs themselves (http://... or https://...)',
    )
    command.add_argument(
        "--input-format", choices=INPUT_FORMATS, help="the input's format, if its name does not say it"
    )


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the arguments for options, as `hurtle.cli.run_options` reads them."""
    command.add_argument(
        "--config", metavar="FILE", help="a TOML file of options by their public names; the command line wins"
    )
    _add_request(command.add_argument_group("what is sent"))
    _add_pace(command.add_argument_group("how fast"))
    _add_limits(command.add_argument_group("how much and how long"))
    _add_retries(command.add_argument_group("trying again"))
    _add_connection(command.add_argument_group("how it is sent"))


def _add_files(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-o",
        "--output",
        default="-",
        metavar="OUT",
        help="a file such as out.parquet, a folder of parts (DIR/, s3://BUCKET/PREFIX/), or the address of a"
        " database; without it, JSON lines on stdout",
    )
    again = group.add_mutually_exclusive_group()
    for flag, value, text in RESUMES:
        again.add_argument(flag, dest="resume", action="store_const", const=value, help=text)
    group.add_argument(
        "--since",
        metavar="OLD",
        help="the output of an earlier run: fetch only what has changed since; see the column change",
    )
    group.add_argument(
        RESEND,
        action="store_true",
        help="resend what may have arrived before a run was interrupted, POST and PATCH included",
    )
    group.add_argument(
        "--format", choices=format_names(), help="the output's format, if its name does not say it"
    )
    group.add_argument(
        "--bodies",
        choices=BODY_PLACES,
        help="in the rows, each in a separate file, which the column body_path names, or in the rows as they"
        " came, compressed, until the run is read",
    )
    group.add_argument(
        "--compression",
        metavar="CODEC",
        help="of Parquet: zstd:1 to zstd:22, lz4, snappy or none (zstd:1); of .jsonl.gz: gzip:1 to gzip:9"
        " (gzip:6)",
    )
    group.add_argument(
        "--ordered", action=argparse.BooleanOptionalAction, help="rows in the order of the input"
    )
    group.add_argument("-q", "--quiet", action="store_true", help="no progress and no summary")
    group.add_argument("-v", "--verbose", action="store_true", help="a line on stderr for each response")


def _add_request(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-X",
        "--request",
        dest="method",
        metavar="METHOD",
        help="the method of plain URLs (GET; POST with a body)",
    )
    group.add_argument(
        "-H",
        "--header",
        action="append",
        default=[],
        metavar="LINE",
        help="'Name: value', for every request; repeatable",
    )
    body = group.add_mutually_exclusive_group()
    body.add_argument(
        "-d",
        "--data",
        action="append",
        metavar="DATA",
        help="form data as the body of plain URLs; @FILE reads it from a file; repeatable",
    )
    body.add_argument("--json", metavar="DATA", help="a JSON body for plain URLs; @FILE reads it from a file")
    group.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a query parameter of every request; repeatable",
    )
    group.add_argument(
        "--idempotency-key",
        action=argparse.BooleanOptionalAction,
        help="an Idempotency-Key for each POST and PATCH, the same each time it is resent",
    )
    group.add_argument("-b", "--cookie", metavar="'A=1; B=2'", help="cookies of every request")
    group.add_argument("-A", "--user-agent", metavar="TEXT", help="the user agent (hurtle/VERSION)")
    credentials = group.add_mutually_exclusive_group()
    credentials.add_argument(
        "-u", "--user", metavar="USER:PASSWORD", help="credentials for Basic authentication"
    )
    credentials.add_argument("--bearer", metavar="TOKEN", help="a bearer token")


def _number_or_word(text: str) -> int | str:
    """Return a whole number if it is one; the option itself checks which words it accepts instead."""
    try:
        return int(text)
    except ValueError:
        return text


def _add_pace(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--concurrency",
        type=_number_or_word,
        metavar="N",
        help=f"requests in flight, all hosts; auto finds it ({DEFAULTS.concurrency})",
    )
    group.add_argument(
        "--concurrency-per-host",
        type=_number_or_word,
        metavar="N",
        help=f"requests in flight to one host; auto finds it ({DEFAULTS.concurrency_per_host})",
    )
    group.add_argument("--rate-limit", metavar="RATE", help="requests over time, all hosts (no limit)")
    group.add_argument(
        "--rate-limit-per-host",
        metavar="RATE",
        help="requests over time to one host; auto finds it (no limit)",
    )
    group.add_argument(
        "--limit-by", choices=("host", "domain", "ip"), help="what shares one host's limits (host)"
    )
    switch = argparse.BooleanOptionalAction
    group.add_argument("--robots", action=switch, help="fetch the robots.txt of each host, and obey it")
    group.add_argument("--dedupe", action=switch, help="send identical requests once")


def _add_limits(group: argparse._ArgumentGroup) -> None:
    default = DEFAULTS
    group.add_argument(
        "--timeout",
        type=float,
        metavar="S",
        help=f"seconds for one attempt ({default.timeout_total:g}); 0: no limit",
    )
    group.add_argument("--connect-timeout", type=float, metavar="S", help="seconds for name, TCP and TLS")
    group.add_argument(
        "--first-byte-timeout", type=float, metavar="S", help="seconds to the response's first byte"
    )
    group.add_argument(
        "--read-timeout", type=float, metavar="S", help="seconds between two reads of the body"
    )
    group.add_argument(
        "--deadline", type=float, metavar="S", help="seconds for one request with all its retries"
    )
    group.add_argument("--max-duration", type=float, metavar="S", help="seconds for the whole run")
    group.add_argument(
        "--max-body-size",
        metavar="SIZE",
        help=f"the largest body, decoded ({default.max_body_size >> 20}MiB)",
    )
    group.add_argument(
        "--on-oversize",
        choices=("error", "truncate"),
        help="for a larger body: fail its row, or keep its start (error)",
    )
    group.add_argument(
        "--no-decode-content",
        dest="decode_content",
        action="store_false",
        default=None,
        help="keep bodies compressed as they arrive",
    )
    group.add_argument(
        "--max-buffer",
        metavar="SIZE",
        help=f"bytes that may wait for the output ({default.max_buffer >> 20}MiB)",
    )
    group.add_argument(
        "--on-error",
        choices=("record", "raise"),
        help="after a failed request: continue, or stop the run (record)",
    )


def _add_retries(group: argparse._ArgumentGroup) -> None:
    default = DEFAULTS
    retries = f"further attempts after a failure ({default.retry_total})"
    group.add_argument("--retries", type=int, metavar="N", help=retries)
    patience = "how long to retry a request that its host refuses: 90 (seconds), 2h, none (15min)"
    group.add_argument("--patience", metavar="SPAN", help=patience)
    refused = "which refused requests: all, or only those with an idempotent method (any)"
    group.add_argument("--refused", choices=("any", "idempotent"), help=refused)
    group.add_argument(
        "--max-retry-after",
        type=float,
        metavar="S",
        help=f"the longest wait that a server may ask for ({default.retry_max_retry_after:g})",
    )
    group.add_argument(
        "--rounds",
        type=int,
        metavar="N",
        help=f"how often to probe a host that is down at the end ({default.retry_rounds})",
    )


def _add_connection(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-L",
        "--location",
        dest="follow",
        action="store_true",
        default=None,
        help="follow redirects (the default)",
    )
    group.add_argument("--no-location", dest="follow", action="store_false", help="do not follow redirects")
    group.add_argument(
        "--max-redirects",
        type=int,
        metavar="N",
        help=f"the most hops of one request ({DEFAULTS.max_redirects})",
    )
    group.add_argument(
        "--keep-on-redirect",
        action="append",
        metavar="NAME",
        help="a header that redirects may take to another origin; body: the body; repeatable",
    )
    switch = argparse.BooleanOptionalAction
    group.add_argument("--https-only", action=switch, help="send nothing in the clear")
    group.add_argument(
        "-x",
        "--proxy",
        action="append",
        metavar="URL",
        help="send through this proxy (http, https, socks5, socks5h); repeatable: used in turn",
    )
    group.add_argument(
        "--trust-env", action=switch, help="without --proxy, those of http_proxy, https_proxy and all_proxy"
    )
    group.add_argument(
        "--block-private", action=switch, help="connect to addresses of the public internet only"
    )
    group.add_argument(
        "--allow-private",
        action="append",
        metavar="NET",
        help="a network to connect to all the same, such as 10.0.0.0/8; repeatable",
    )
    trust = group.add_mutually_exclusive_group()
    trust.add_argument("-k", "--insecure", action="store_true", help="do not verify TLS certificates")
    trust.add_argument("--verify", "--cacert", metavar="PEM", help="trust only the certificates in this file")
    group.add_argument(
        "--http2",
        choices=("auto", "always", "never"),
        help="HTTP/2 by ALPN, with prior knowledge, or not (auto)",
    )
    group.add_argument(
        "--strict", action=argparse.BooleanOptionalAction, help="refuse what browsers tolerate in responses"
    )
    group.add_argument("--threads", type=int, metavar="N", help="threads of the engine (one per core)")
    for names in (("--cert",),):
        group.add_argument(*names, action=Unavailable, help=argparse.SUPPRESS)


def _add_plan(commands: "argparse._SubParsersAction[Parser]") -> None:
    plan = commands.add_parser(
        "plan",
        help="estimate how long a list will take, before anything is sent",
        description="Read a list of requests without sending any. Print how long each host takes at least "
        "under these options, what takes the longest, and what to change.",
        epilog="exit status: 0 every row can be sent, 1 some cannot, 2 wrong usage.",
        allow_abbrev=False,
    )
    add_requests(plan)
    plan.add_argument("--format", choices=("text", "json"), default="text", help="the plan's format (text)")
    plan.add_argument(
        "--latency",
        type=float,
        metavar="S",
        help="assumed seconds from a request to the end of its answer (0.2)",
    )
    add_options(plan)
