"""`hurtle serve`: the test server, until Ctrl-C."""

import signal
import sys
import threading
from argparse import Namespace
from pathlib import Path
from types import FrameType

from hurtle.cli.status import EXIT_OK
from hurtle.errors import ConfigError
from hurtle.testing import Server


def serve(given: Namespace) -> int:
    """Start the server, print its addresses on stdout, and wait for SIGINT or SIGTERM.

    Returns:
        0: a server ends by being stopped.
    """
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if given.profile == "chaos":
            _refuse_others(given.words)
            _serve_chaos(stopped)
        else:
            _serve(given, stopped)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return EXIT_OK


def _serve(given: Namespace, stopped: threading.Event) -> None:
    with Server(
        host=given.host,
        port=given.port,
        tls_port=None if given.no_tls else given.tls_port,
        tls_fault=given.tls_fault,
        all_loopback=given.all_loopback,
        latency=given.latency,
        jitter=given.jitter,
        error_rate=given.error_rate,
        error_status=given.error_status,
        reset_rate=given.reset_rate,
        robots=_robots(given.robots),
        threads=given.threads,
    ) as server:
        print(f"http   {server.url('')}", flush=True)
        if not given.no_tls:
            print(f"https  {server.tls_url('')}", flush=True)
            print(f"ca     {server.ca_path}", flush=True)
        _wait(stopped)


def _refuse_others(words: list[str]) -> None:
    """Refuse the options of the plain profile, which would have no effect.

    Raises:
        ConfigError: There are some.
    """
    flags = (word.partition("=")[0] for word in words if word.startswith("--"))
    if others := [flag for flag in flags if flag != "--profile"]:
        raise ConfigError(f"{others[0]} has no effect with --profile chaos, whose servers take free ports")


def _serve_chaos(stopped: threading.Event) -> None:
    from hurtle.chaos import ChaosServer
    from hurtle.chaos.table import CASES

    with ChaosServer(CASES) as server:
        for case in CASES:
            if case.url is None:
                given = ", ".join(f"{name}={value}" for name, value in case.options.items())
                needs = f"; selftest has {given}" if given else ""
                print(f"{case.id:<4} {server.urls[case.id]:<30} {case.what}{needs}", flush=True)
        for name, path in server.authorities.items():
            print(f"ca   {path} to trust in {name}", flush=True)
        print("each fault has a server of its own, until Ctrl-C", file=sys.stderr, flush=True)
        _wait(stopped)


def _wait(stopped: threading.Event) -> None:
    # On some platforms, signal handlers do not run during a wait without a timeout.
    while not stopped.wait(1.0):
        continue


def _robots(path: str | None) -> str | None:
    """Return the text that the server answers with at /robots.txt.

    Raises:
        ConfigError: The file cannot be read, or is not text.
    """
    if path is None:
        return None
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--robots {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"--robots {path}: not UTF-8 text") from error
