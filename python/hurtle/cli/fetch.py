"""`hurtle fetch`: a list of requests in, one row for each out."""

import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from hurtle.api import Client
from hurtle.cli.status import EXIT_OK, EXIT_SOME_FAILED, Terminated
from hurtle.errors import ConfigError
from hurtle.job import Job
from hurtle.models import Request, Row
from hurtle.options import OptionsDict, Timeout
from hurtle.report import Summary
from hurtle.report.progress import open_progress
from hurtle.report.text import summary_text
from hurtle.sinks import open_sink
from hurtle.sources import Source, open_source

if TYPE_CHECKING:
    from hurtle._engine import Batch, Response


def fetch(given: Namespace) -> int:
    """Send the requests, write the rows, say what it came to.

    Returns:
        0 when all are ok, 1 when some failed.
    """
    with Client(**_options(given)) as client:
        client.engine()  # options that only the engine can judge fail here, before the output is touched
        source = _source(given)
        sink = open_sink(given.output, given.format)
        view = None if given.quiet or given.verbose else open_progress(source.total)
        job = Job(
            client,
            source,
            sink,
            client.options,
            progress=None if view is None else view.update,
            observe=_tell if given.verbose else None,
            at_end=None if view is None else view.close,
        )
        with _terminable():
            outcome = job.run()
    summary = Summary.from_counters(outcome.counters, outcome.seconds, outcome.skipped)
    if not given.quiet:
        print(summary_text(summary), file=sys.stderr)
    return EXIT_SOME_FAILED if summary.failed else EXIT_OK


def _options(given: Namespace) -> OptionsDict:
    """Return the options that were given; those that were not keep their defaults."""
    options: dict[str, Any] = {
        name: getattr(given, name)
        for name in (
            "concurrency", "concurrency_per_host", "deadline", "max_duration", "retries", "max_body_size",
            "on_oversize", "max_buffer", "on_error", "max_redirects", "threads", "user_agent", "proxy",
        )
        if getattr(given, name) is not None
    }  # fmt: skip
    limits = {
        "total": given.timeout,
        "connect": given.connect_timeout,
        "first_byte": given.first_byte_timeout,
    }
    limits = {
        name: limit for name, limit in (limits | {"read": given.read_timeout}).items() if limit is not None
    }
    if limits:
        options["timeout"] = Timeout(**{name: limit or None for name, limit in limits.items()})
    if given.follow is not None:
        options["follow_redirects"] = given.follow
    if given.insecure or given.verify is not None:
        options["verify"] = given.verify if given.verify is not None else False
    if given.http2 is not None:
        options["http2"] = {"auto": "auto", "always": True, "never": False}[given.http2]
    if given.header:
        options["headers"] = [_split(line, ":", "-H", "'Name: value'", show=False) for line in given.header]
    if given.param:
        options["params"] = [_split(pair, "=", "--param", "NAME=VALUE") for pair in given.param]
    if given.cookie is not None:
        options["cookies"] = dict(_split(part, "=", "-b", "'A=1; B=2'") for part in given.cookie.split(";"))
    if given.user is not None:
        options["auth"] = _split(given.user, ":", "-u", "USER:PASSWORD", show=False)
    if given.bearer is not None:
        options["auth"] = given.bearer
    return options  # type: ignore[return-value]  # names and values are checked when it is resolved


def _split(text: str, mark: str, flag: str, form: str, *, show: bool = True) -> tuple[str, str]:
    name, found, value = text.partition(mark)
    if not found or not name.strip():
        raise ConfigError(f"{flag} takes {form}" + (f", not {text!r}" if show else ""))
    return name.strip(), value.strip()


def _source(given: Namespace) -> Source:
    requests: list[str] = given.requests
    if all(text.lower().startswith(("http://", "https://")) for text in requests):
        if given.input_format is not None:
            raise ConfigError("--input-format fits a file, not URLs")
        source = open_source(requests)
    elif len(requests) == 1:
        source = open_source(requests[0], given.input_format)
    else:
        raise ConfigError(
            f"URLS takes one file, or URLs that start with http:// or https://, not {requests!r}"
        )
    shape = _shape(given)
    return ShapedSource(source, shape) if shape else source


def _shape(given: Namespace) -> dict[str, Any]:
    """Return what -X, -d and --json make of a plain URL, as curl does."""
    shape: dict[str, Any] = {}
    if given.data is not None:
        shape["content"] = b"&".join(_read("-d", text) for text in given.data)
        shape["headers"] = [("content-type", "application/x-www-form-urlencoded")]
    if given.json is not None:
        shape["content"] = _read("--json", given.json)
        shape["headers"] = [("content-type", "application/json"), ("accept", "application/json")]
    if given.method is not None or shape:
        shape["method"] = given.method or "POST"
    named = {line.partition(":")[0].strip().lower() for line in given.header}
    if "headers" in shape:  # a -H of the same name wins
        shape["headers"] = [(name, value) for name, value in shape["headers"] if name not in named]
    return shape


def _read(flag: str, text: str) -> bytes:
    if not text.startswith("@"):
        return text.encode()
    try:
        return sys.stdin.buffer.read() if text == "@-" else Path(text[1:]).read_bytes()
    except OSError as error:
        raise ConfigError(f"{flag} {text}: {error.strerror or error}") from error


class ShapedSource(Source):
    """A source whose plain URLs get a method and a body; rows that are requests already stay as they are."""

    def __init__(self, source: Source, shape: Mapping[str, Any]) -> None:
        self._source = source
        self._shape = shape
        self.steady = source.steady

    @property
    def total(self) -> int | None:
        """How many rows the source has."""
        return self._source.total

    @property
    def skipped(self) -> int:  # type: ignore[override]
        """Lines that the source passed over."""
        return self._source.skipped

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows."""
        for row in self._source:
            yield Request(row, **self._shape) if isinstance(row, str) else row

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def _tell(batch: "Batch") -> None:
    sys.stderr.write("".join(_line(response) for response in batch))


def _line(response: "Response") -> str:
    if response.error is not None:
        return f"Failed {_printable(response.url)}: {_printable(str(response.error))}\n"
    status = "" if response.ok else f" (status {response.status})"
    return f"Read {len(response.content)} from {_printable(response.final_url)}{status}\n"


def _printable(text: str) -> str:
    """Return text that is safe on a terminal: what a server or a list wrote never reaches it unescaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


@contextmanager
def _terminable() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that what has come is kept."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    before: Callable[[int, FrameType | None], Any] | int | None = None
    with suppress(ValueError):  # not the main thread: signals are somebody else's business
        before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
