"""`hurtle fetch`: a list of requests in, one row for each out."""

import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hurtle.api import Client, open_job
from hurtle.cli.status import EXIT_OK, EXIT_SOME_FAILED
from hurtle.client import Rows
from hurtle.errors import ConfigError
from hurtle.models import Request, Row
from hurtle.options import OptionsDict, Timeout
from hurtle.report import Summary
from hurtle.report.text import summary_text
from hurtle.sources import Source, open_source

if TYPE_CHECKING:
    from hurtle._engine import Response


def fetch(given: Namespace) -> int:
    """Send the requests, write the rows, say what it came to.

    Returns:
        0 when all are ok, 1 when some failed.
    """
    with Client(**_options(given)) as client:
        client.engine()  # options that only the engine can judge fail here, before the output is touched
        observe = _tell if given.verbose else None
        job = open_job(client, _source(given), given.output, given.format, client.options, observe=observe)
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
            "on_oversize", "max_buffer", "on_error", "max_redirects", "threads", "user_agent",
        )
        if getattr(given, name) is not None
    }  # fmt: skip
    options |= {"ordered": given.ordered, "progress": not (given.quiet or given.verbose)}
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
    if headers := _headers(given):
        options["headers"] = headers
    if given.param:
        options["params"] = [_split(pair, "=", "--param", "NAME=VALUE") for pair in given.param]
    if given.user is not None:
        options["auth"] = _split(given.user, ":", "-u", "USER:PASSWORD", show=False)
    if given.bearer is not None:
        options["auth"] = given.bearer
    return options  # type: ignore[return-value]  # names and values are checked when it is resolved


def _headers(given: Namespace) -> list[tuple[str, str]]:
    pairs = []
    for line in given.header:
        name, value = _split(line, ":", "-H", "'Name: value'", show=False)
        if not name.strip():
            raise ConfigError("-H takes 'Name: value'")
        pairs.append((name.strip(), value.strip()))
    if given.cookie is not None:
        if any(name.lower() == "cookie" for name, _ in pairs):
            raise ConfigError("-b and -H 'Cookie: ...' are given; give one of them")
        # As it is written, not by name: a cookie may be there twice.
        cookies = [part.strip() for part in given.cookie.split(";") if part.strip()]
        if not cookies or not all("=" in cookie.lstrip("=") for cookie in cookies):
            raise ConfigError("-b takes 'A=1; B=2'")
        pairs.append(("cookie", "; ".join(cookies)))
    return pairs


def _split(text: str, mark: str, flag: str, form: str, *, show: bool = True) -> tuple[str, str]:
    """Split at the first mark. Blanks stay: they may be part of a secret."""
    name, found, value = text.partition(mark)
    if not found or not (name or flag == "-u"):
        raise ConfigError(f"{flag} takes {form}" + (f", not {text!r}" if show else ""))
    return name, value


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
        shape["content"] = b"&".join(_form_part(text) for text in given.data)
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


def _form_part(text: str) -> bytes:
    """Return what one -d adds; line ends of a file are no part of a form, as curl has it."""
    part = _read("-d", text)
    return part.translate(None, b"\r\n\0") if text.startswith("@") else part


def _read(flag: str, text: str) -> bytes:
    if not text.startswith("@"):
        return os.fsencode(text)  # the bytes that the shell gave, UTF-8 or not
    if text == "@-" and sys.stdin is None:
        raise ConfigError(f"{flag} @-: stdin is closed")
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
        self.path = source.path

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


def _tell(rows: Rows) -> None:
    sys.stderr.write("".join(_line(response) for response in rows))


def _line(response: "Response") -> str:
    if response.error is not None:
        return f"Failed {_printable(response.url)}: {_printable(str(response.error))}\n"
    status = "" if response.ok else f" (status {response.status})"
    return f"Read {len(response.content)} from {_printable(response.final_url)}{status}\n"


def _printable(text: str) -> str:
    """Return text that is safe on a terminal: what a server or a list wrote never reaches it unescaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
