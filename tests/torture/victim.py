"""The run that is killed: `python -m tests.torture.victim OUT FORMAT BODIES BASE_URL`, a process of its own.

Ends with 0 when the output is complete, 2 when the run was refused before a request, 3 when its output broke.
"""

import sys
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

import hurtle
from hurtle.client import transfer
from hurtle.errors import ConfigError, JournalError, SinkError
from hurtle.outputs.database import Database
from hurtle.sinks import parts
from tests.torture.workload import BODIES_ABOVE, IN_FLIGHT, MAX_BUFFER, PART_ROWS, urls_at

if TYPE_CHECKING:
    from hurtle.options import BodyPlace

P = ParamSpec("P")
T = TypeVar("T")


class OnThisThread(Executor):
    """Calls at once: strace counts the calls of each thread apart, and all have to be the main thread's."""

    def __init__(self, threads: int) -> None:
        del threads

    def submit(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(call(*args, **kwargs))
        except OSError as error:
            future.set_exception(error)
        return future


def main(out: str, format: str, bodies: str, base: str) -> int:  # noqa: A002 - as of hurtle.run
    parts.PART_ROWS = Database.commit_rows = PART_ROWS
    transfer.BODIES_ABOVE = BODIES_ABOVE
    futures.ThreadPoolExecutor = OnThisThread  # type: ignore[assignment, misc]
    try:
        hurtle.run(
            urls_at(base),
            out,
            format=format,
            bodies=cast("BodyPlace | None", bodies or None),
            concurrency=IN_FLIGHT,
            concurrency_per_host=IN_FLIGHT,
            max_buffer=MAX_BUFFER,
            retries=0,
            progress=False,
        )
    except (ConfigError, SinkError, JournalError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 3
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
