"""`hurtle fetch`: a list of requests in, one row for each out."""

import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hurtle.api import Client
from hurtle.assembly import open_job, summary_of
from hurtle.cli.args import RESUMING
from hurtle.cli.consent import THROTTLED, consent_hint, refused_hint, sent_unknown
from hurtle.cli.run_options import given_options
from hurtle.cli.status import EXIT_OK, EXIT_SOME_FAILED
from hurtle.cli.terminal import printable
from hurtle.errors import ConfigError
from hurtle.models import Request, Row
from hurtle.options import OutputOptions
from hurtle.report.text import summary_text
from hurtle.rows import Rows
from hurtle.sources import Source, open_source
from hurtle.sources.base import WrappedSource

if TYPE_CHECKING:
    from hurtle._engine import Response


def fetch(given: Namespace) -> int:
    """Send the requests, write the rows, print the summary.

    Returns:
        0 when all are ok, 1 when some failed.
    """
    options = given_options(given)
    if given.quiet or given.verbose:
        options["progress"] = False
    with Client(**({"progress": True} | options)) as client:
        client.engine()  # options that only the engine can check fail here, before the output is touched
        source, observe = given_source(given), tell if given.verbose else None
        output: OutputOptions = {
            "format": given.format,
            "bodies": given.bodies,
            "compression": given.compression,
            "resend_unknown": given.resend_unknown,
            "since": given.since,
        }
        output |= _RESUME[given.resume]
        job = open_job(client, source, given.output, client.options, observe=observe, **output)
        try:
            outcome = job.run()
        except BaseException:
            if job.waits_at is not None:
                again = _again(given, ordered=not job.is_out_of_order)
                print(f"hurtle: the rows so far are in {job.waits_at}; to resume: {again}", file=sys.stderr)
            raise
    summary = summary_of(outcome, client.options)
    if not given.quiet:
        print(summary_text(summary), file=sys.stderr)
        listed = given.requests[0] if source.path is not None else None
        if unknown := sent_unknown(summary, given.output, consented=given.resend_unknown):
            print(consent_hint(unknown, given.output, listed), file=sys.stderr)
        unsent = summary.errors.get(THROTTLED, 0)
        if unsent and (hint := refused_hint(unsent, given.output, listed)) is not None:
            print(hint, file=sys.stderr)
    return EXIT_OK if summary.all_ok else EXIT_SOME_FAILED


_RESUME: dict[str | None, OutputOptions] = {
    None: {},
    "never": {"resume": False},
    "restart": {"restart": True},
    "trust": {"resume": True},
}
"""What the flags of `cli.args.RESUMES` ask for."""

_SECRETS = ("user", "bearer", "header", "cookie", "data", "json", "param")
"""Arguments that may hold secrets: a command with one of them is not printed again."""


def _again(given: Namespace, *, ordered: bool) -> str:
    """Return how to resume a run that was interrupted: the command, or a description of it.

    Args:
        given: The command line.
        ordered: Whether rows can still come in the order of the input.
    """
    more = [] if ordered else ["--no-ordered"]
    secret = any(getattr(given, name) for name in _SECRETS) or any(map(_may_hold_secret, given.words))
    if given.requests == ["-"]:
        options = " ".join(["--resume", *more])
        return f"the same command with {options}, if standard input is the same again"
    if secret:
        return " ".join(["the same command", *(f"with {option}" for option in more)])
    left_out = RESUMING if ordered else {*RESUMING, "--ordered"}
    words = [word for word in given.words if word not in left_out] + more
    return f"hurtle {shlex.join(words)}"


def _may_hold_secret(word: str) -> bool:
    """Whether a word of a command has an address that may hold a password: a database, a URL with a user."""
    _, mark, address = word.partition("://")
    is_http = word.startswith(("http://", "https://"))
    return bool(mark) and ("@" in address or not is_http)


def given_source(given: Namespace) -> Source:
    """Return the list that a command line names; its flags give plain URLs a method and a body.

    Raises:
        ConfigError: There is no such list, or files and URLs are mixed.
    """
    requests: list[str] = given.requests
    if all(text.lower().startswith(("http://", "https://")) for text in requests):
        if given.input_format is not None:
            raise ConfigError("--input-format is for files, not for URLs: leave it out")
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
    """Return the fields that -X, -d and --json set for a plain URL, as in curl."""
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
    """Return what one -d adds; as in curl, line ends of a file are not part of a form."""
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


class ShapedSource(WrappedSource):
    """A source whose plain URLs get a method and a body; rows that are requests already stay as they are."""

    def __init__(self, source: Source, shape: Mapping[str, Any]) -> None:
        super().__init__(source)
        self._shape = shape

    def fingerprint(self) -> dict[str, object] | None:
        """Return the fingerprint of the source, with a hash of the method and body added to it."""
        of_source = self._source.fingerprint()
        if of_source is None:
            return None
        shape = sha256(repr(sorted(self._shape.items())).encode("utf-8", "surrogatepass")).hexdigest()
        return of_source | {"shape": shape}

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows."""
        for row in self._source:
            yield Request(row, **self._shape) if isinstance(row, str) else row


def tell(rows: Rows) -> None:
    """Print a line for each response."""
    sys.stderr.write("".join(_line(response) for response in rows))


def _line(response: "Response") -> str:
    if response.error is not None:
        return f"Failed {printable(response.url)}: {printable(str(response.error))}\n"
    status = "" if response.ok else f" (status {response.status})"
    return f"Read {len(response.content)} from {printable(response.final_url)}{status}\n"
