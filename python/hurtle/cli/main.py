"""The entry point: choose the command, and turn errors into one sentence and an exit status.

Little is imported before the signal handlers are set, so that Ctrl-C during an import is handled as usual.
"""

import os
import signal
import sys

from hurtle.cli.status import (
    EXIT_HUNG_UP,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_RUN_FAILED,
    EXIT_TERMINATED,
    EXIT_USAGE,
)
from hurtle.stops import HungUp, Terminated

# Type checkers know this name. Importing typing for it would take longer than all the rest here.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence
    from types import FrameType


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Run the command and return its exit status.

    Args:
        arguments: The words after `hurtle`; those of the process when None.

    Returns:
        0 all ok, 1 some requests failed, 2 usage, 3 the run itself failed, 129, 130 or 143 interrupted.
    """
    before: dict[int, Callable[[int, FrameType | None], object] | int] = {}
    try:
        _hear("SIGTERM", Terminated, before)
        _hear("SIGHUP", HungUp, before)
        return _run(arguments)
    except KeyboardInterrupt:
        return _said("interrupted", EXIT_INTERRUPTED)
    except Terminated:
        return _said("terminated", EXIT_TERMINATED)
    except HungUp:
        return EXIT_HUNG_UP
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _hear(
    name: str,
    error: type[BaseException],
    before: "dict[int, Callable[[int, FrameType | None], object] | int]",
) -> None:
    """Turn a signal into an exception, as Ctrl-C is one, so that the rows so far are kept.

    Args:
        name: The signal; some systems lack it.
        error: The exception.
        before: Takes the handler that the signal had before.
    """

    def end(_number: int, _frame: "FrameType | None") -> None:
        if error is HungUp and sys.stderr is not None and sys.stderr.isatty():
            # The terminal is gone: printing to it would fail.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        raise error

    number = getattr(signal, name, None)
    if number is None:
        return
    try:
        handler = signal.getsignal(number)
        if handler is not None and handler is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, end)
            before[number] = handler
    except ValueError:  # not the main thread, which alone may set handlers
        return


def _run(arguments: "Sequence[str] | None") -> int:
    from hurtle.errors import ConfigError, HurtleError, MissingExtraError

    if sys.stderr is None:
        # The caller closed it. print would write to stdout instead, where only data belongs.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - open until the end
    try:
        from hurtle.cli.args import parser

        given = parser().parse_args(arguments)
        given.words = list(sys.argv[1:] if arguments is None else arguments)
        return _command(given.command)(given)
    except (ConfigError, MissingExtraError) as error:
        return _said(error, EXIT_USAGE)
    except BrokenPipeError:
        return _stdout_closed()
    except (HurtleError, OSError) as error:
        return _said(error, EXIT_RUN_FAILED)
    except Exception:  # noqa: BLE001 - a status of 1 would mean that only some requests failed
        import traceback

        traceback.print_exc()
        return EXIT_RUN_FAILED


def _command(name: str) -> "Callable[[Namespace], int]":
    # Imported on demand, so that `hurtle version` does not wait for the engine.
    if name == "fetch":
        from hurtle.cli.fetch import fetch

        return fetch
    if name == "download":
        from hurtle.cli.download import download

        return download
    if name == "retry":
        from hurtle.cli.retry import retry

        return retry
    if name == "cat":
        from hurtle.cli.cat import cat

        return cat
    if name == "plan":
        from hurtle.cli.plan import plan

        return plan
    if name == "race":
        from hurtle.cli.race import race

        return race
    if name == "serve":
        from hurtle.cli.serve import serve

        return serve
    if name == "selftest":
        from hurtle.cli.selftest import selftest

        return selftest
    from hurtle.cli.version import version

    return version


def _said(what: object, status: int) -> int:
    from hurtle.cli.terminal import printable

    print(f"hurtle: {printable(str(what))}", file=sys.stderr)
    return status


def _stdout_closed() -> int:
    """End quietly: the reader of our output has closed it (`| head`)."""
    # The interpreter flushes stdout at exit, which would fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_OK
