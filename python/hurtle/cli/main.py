"""The entry point: choose the command, turn what goes wrong into one sentence and an exit status."""

import os
import sys
import traceback
from argparse import Namespace
from collections.abc import Callable, Sequence

from hurtle.cli.args import parser
from hurtle.cli.status import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_RUN_FAILED,
    EXIT_TERMINATED,
    EXIT_USAGE,
    Terminated,
)
from hurtle.errors import ConfigError, HurtleError, MissingExtraError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Args:
        arguments: The words after `hurtle`; those of the process when None.

    Returns:
        0 all ok, 1 some requests failed, 2 usage, 3 the run itself failed, 130 or 143 interrupted.
    """
    given = parser().parse_args(arguments)
    try:
        return _command(given.command)(given)
    except (ConfigError, MissingExtraError) as error:
        return _said(error, EXIT_USAGE)
    except BrokenPipeError:
        return _stdout_closed()
    except (HurtleError, OSError) as error:
        return _said(error, EXIT_RUN_FAILED)
    except KeyboardInterrupt:
        return _said("interrupted", EXIT_INTERRUPTED)
    except Terminated:
        return _said("terminated", EXIT_TERMINATED)
    except Exception:  # noqa: BLE001 - a status of 1 would claim that the run went well but for some requests
        traceback.print_exc()
        return EXIT_RUN_FAILED


def _command(name: str) -> Callable[[Namespace], int]:
    # Imported when chosen: `hurtle version` need not wait for the engine.
    if name == "fetch":
        from hurtle.cli.fetch import fetch

        return fetch
    if name == "serve":
        from hurtle.cli.serve import serve

        return serve
    from hurtle.cli.version import version

    return version


def _said(what: object, status: int) -> int:
    print(f"hurtle: {what}", file=sys.stderr)
    return status


def _stdout_closed() -> int:
    """End quietly: whoever read our output has had enough (`| head`)."""
    # The interpreter flushes stdout at its end, which would fail once more.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_OK
