"""The arguments of the commands that measure and test: race, serve and selftest."""

import argparse

from hurtle.cli.parsing import Parser

TLS_FAULTS = ("expired", "wrong_name", "self_signed", "unknown_ca", "eof", "stall")


def add_race(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `hurtle race`."""
    race = commands.add_parser(
        "race",
        help="measure every classic way of sending many requests, side by side",
        description="Let every contestant fetch the same URLs and say who is fastest. Without options: "
        "100 links, 10 connections, the built-in server with TLS and 50 ms of latency.",
        epilog="Contestants whose tools are missing are skipped; `make race` in a checkout installs them. "
        "exit status: 0 every contestant that started succeeded, 1 some failed, 2 wrong usage.",
        allow_abbrev=False,
    )
    task = race.add_argument_group("what is fetched")
    task.add_argument("--requests", type=int, metavar="N", help="length of the list (100, or the URL file's)")
    task.add_argument(
        "--connections", type=int, default=10, metavar="N", help="the most requests in flight (10)"
    )
    task.add_argument(
        "--latency",
        type=float,
        default=0.05,
        metavar="S",
        help="seconds before the built-in server answers (0.05)",
    )
    task.add_argument(
        "--body-bytes", type=int, default=10_000, metavar="N", help="size of its bodies (10000)"
    )
    task.add_argument("--http", action="store_true", help="HTTP instead of HTTPS on the built-in server")
    task.add_argument("--url-file", metavar="FILE", help="a list of URLs to fetch instead")
    task.add_argument("--server", metavar="URL", help="one URL to fetch instead, again and again")
    task.add_argument("--cacert", metavar="PEM", help="trust only the certificates in this file")
    run = race.add_argument_group("who, and how often")
    run.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAMES",
        help="contestants, separated by commas; repeatable",
    )
    run.add_argument(
        "--repeat",
        type=int,
        default=1,
        metavar="N",
        help="rounds; contestants take turns, and the median counts (1)",
    )
    run.add_argument(
        "--limit",
        type=float,
        default=120.0,
        metavar="S",
        help="seconds after which a contestant is killed (120)",
    )
    run.add_argument(
        "--tools", default=".race", metavar="FOLDER", help="where `make race` has put the tools (.race)"
    )
    out = race.add_argument_group("output")
    out.add_argument("-o", "--output", metavar="PAGE", help="write a self-contained HTML page")
    out.add_argument(
        "--json", action="store_true", help="one JSON object on stdout, everything else on stderr"
    )
    out.add_argument("-v", "--verbose", action="store_true", help="a line for each body as it arrives")


def add_serve(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `hurtle serve`."""
    serve = commands.add_parser(
        "serve",
        help="start the test server",
        description="Run the test server on loopback until Ctrl-C. Its page / lists what it answers.",
        allow_abbrev=False,
    )
    serve.add_argument(
        "--profile",
        choices=("plain", "chaos"),
        default="plain",
        help="plain: the endpoints of its page /; chaos: a server for each fault, whose URLs are printed,"
        " without the options below (plain)",
    )
    serve.add_argument("--host", default="127.0.0.1", help="a loopback address (127.0.0.1)")
    serve.add_argument("--port", type=int, default=0, help="the plain port; 0 picks a free one (0)")
    serve.add_argument("--tls-port", type=int, default=0, help="the TLS port; 0 picks a free one (0)")
    serve.add_argument("--no-tls", action="store_true", help="no TLS port")
    serve.add_argument("--tls-fault", choices=TLS_FAULTS, help="the TLS fault to simulate")
    serve.add_argument("--all-loopback", action="store_true", help="answer on every address of 127.0.0.0/8")
    serve.add_argument(
        "--latency", type=float, default=0.0, metavar="S", help="seconds before every answer (0)"
    )
    serve.add_argument(
        "--jitter", type=float, default=0.0, metavar="S", help="up to this many seconds more, at random (0)"
    )
    serve.add_argument(
        "--error-rate",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="the share of requests answered with an error, 0 to 1 (0)",
    )
    serve.add_argument(
        "--error-status", type=int, default=503, metavar="STATUS", help="the status of these errors (503)"
    )
    serve.add_argument(
        "--reset-rate",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="the share of connections reset, 0 to 1 (0)",
    )
    serve.add_argument("--robots", metavar="FILE", help="the content of /robots.txt (404 without it)")
    serve.add_argument("--threads", type=int, default=1, metavar="N", help="threads of the server (1)")


def add_selftest(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `hurtle selftest`."""
    test = commands.add_parser(
        "selftest",
        help="run hurtle against servers that misbehave",
        description="Run hurtle against a server for each fault, on loopback, with healthy requests in"
        " between. Prints case by case how it ended.",
        epilog="exit status: 0 every case ended as promised, 1 some did not.",
        allow_abbrev=False,
    )
    test.add_argument("cases", nargs="*", metavar="CASE", help="only these, such as h13 p8 (all)")
    test.add_argument("--json", action="store_true", help="an object for each case, as JSON lines on stdout")
