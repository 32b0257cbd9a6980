"""`hurtle race`: every way of sending many requests, side by side, on this machine."""

import os
import shutil
import sys
from argparse import Namespace
from pathlib import Path
from typing import TextIO

from hurtle.cli.status import EXIT_OK, EXIT_SOME_FAILED
from hurtle.errors import ConfigError
from hurtle.race.attempt import Attempt
from hurtle.race.contest import run_race
from hurtle.race.method import Method
from hurtle.race.result import RaceResult
from hurtle.race.settings import POLITE_CONNECTIONS, Settings
from hurtle.race.target import Target, is_loopback
from hurtle.race.terminal import chart_text, ended_text, table_text


def race(given: Namespace) -> int:
    """Run the race; print the lines, the table and the bars; write the page.

    Returns:
        0 if every contestant that could start succeeded, 1 if one failed.
    """
    settings = _settings(given)
    _check_writable(given.output)
    # With --json, only the object goes to stdout.
    told: TextIO = sys.stderr if given.json else sys.stdout

    def ended(method: Method, requests: int, run: Attempt) -> None:
        print(ended_text(method.name, requests, run), file=told, flush=True)

    def skipped(method: Method, why: str) -> None:
        print(f"{method.name:<16} skipped: {why}", file=told, flush=True)

    def arrived(url: str, size: int) -> None:
        print(f"Read {size} from {url}", file=told)

    result = run_race(
        settings, before=warn, ended=ended, skipped=skipped, arrived=arrived if given.verbose else None
    )
    if given.output is not None:
        Path(given.output).write_text(result.to_html(), encoding="utf-8")
    if given.json:
        print(result.to_json())
    else:
        _show(result)
    failed = any(not (row.error or "").startswith("skipped: ") for row in result.without_figures)
    return EXIT_SOME_FAILED if failed else EXIT_OK


def _settings(given: Namespace) -> Settings:
    return Settings(
        requests=given.requests,
        connections=given.connections,
        latency=given.latency,
        body_bytes=given.body_bytes,
        http=given.http,
        url_file=given.url_file,
        server=given.server,
        ca_path=given.cacert,
        only=tuple(name.strip() for names in given.only for name in names.split(",") if name.strip()),
        repeat=given.repeat,
        limit=given.limit,
        tools=Path(given.tools),
    )


def _check_writable(output: str | None) -> None:
    """Refuse a page that cannot be written, before the race takes minutes."""
    if output is None:
        return
    folder = Path(output).absolute().parent
    if not folder.is_dir() or Path(output).is_dir():
        raise ConfigError(f"{output} cannot be written: name a file in an existing folder")


def warn(target: Target) -> None:
    """Warn on stderr that a foreign host may answer this many connections with a ban."""
    foreign = [url for url in target.urls if not is_loopback(url)]
    if foreign and target.connections > POLITE_CONNECTIONS:
        print(
            f"hurtle: {target.connections} connections to {target.server}, for each contestant:"
            " many sites answer floods with a ban",
            file=sys.stderr,
        )


def _show(result: RaceResult) -> None:
    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    print(f"\n{table_text(result, color=color)}")
    if chart := chart_text(result, shutil.get_terminal_size().columns, color=color):
        print(f"\n{chart}")
