"""`hurtle cat`: the rows of a run on stdout."""

import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from hurtle.cli.status import EXIT_OK
from hurtle.errors import ConfigError
from hurtle.formats.columns import arrow
from hurtle.formats.writer import OutputFile
from hurtle.outputs.names import without_password
from hurtle.runs import Run, open_run


def cat(given: Namespace) -> int:
    """Write the newest row of each request.

    Returns:
        0.
    """
    if sys.stdout is None:
        raise ConfigError("stdout is closed")
    run = open_run(given.out)
    if given.format == "arrow":
        _write_arrow(run, given.where, _Stdout())
    else:
        _write_lines(run, given.where, _Stdout())
    if run.complete is False:
        print(
            f"hurtle: {without_password(given.out)} is not complete: these are the rows so far",
            file=sys.stderr,
        )
    return EXIT_OK


class _Stdout:
    """The binary stdout as a file, so that its failures are not mistaken for those of the run."""

    closed = False

    def write(self, data: bytes) -> int:
        with self._failing():
            return sys.stdout.buffer.write(data)

    def flush(self) -> None:
        with self._failing():
            sys.stdout.buffer.flush()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputFile("-").failure(error) from error


def _write_lines(run: Run, where: str | None, out: _Stdout) -> None:
    # Write each piece at once, to notice early that the reader has gone.
    for lines in run.lines(where):
        out.write(lines)
        out.flush()


def _write_arrow(run: Run, where: str | None, out: _Stdout) -> None:
    if sys.stdout.isatty():
        raise ConfigError("an Arrow stream is not text: redirect it to a file or another program")
    ipc = arrow("--format arrow", "pyarrow.ipc")
    with ipc.new_stream(out, run.schema()) as stream:
        for batch in run.batches(where):
            stream.write_batch(batch)
    out.flush()
