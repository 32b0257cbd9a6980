"""Responses that are not quite HTTP: kept with a remark, and refused with `strict=True`."""

from pathlib import Path

import pytest

import hurtle
from hurtle.cli.args import parser
from hurtle.cli.run_options import given_options
from hurtle.errors import ConfigError
from hurtle.options import Options
from tests.formats.raw_server import RawServer

SLOPPY = {
    "/control": b"x-a: a\x01b\r\n",
    "/none": b"P3P : x\r\n",
    "/blank": b" x-a: b\r\n",
    "/identity": b"transfer-encoding: identity\r\n",
    "/both": b"transfer-encoding: chunked\r\n",
}


def answers() -> dict[str, bytes]:
    end, chunk = b"content-length: 5\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"
    bodies = {path: chunk if b"chunked" in line else b"hello" for path, line in SLOPPY.items()}
    return {path: b"HTTP/1.1 200 OK\r\n" + line + end + bodies[path] for path, line in SLOPPY.items()}


def test_h28_a_row_says_what_was_tolerated(tmp_path: Path) -> None:
    with RawServer(answers()) as server:
        hurtle.run([server.base + path for path in SLOPPY], tmp_path / "out.jsonl", retries=0)
    rows = list(hurtle.open_run(tmp_path / "out.jsonl"))
    assert [(row["ok"], row["body"], row["error"]) for row in rows] == [(True, b"hello", None)] * 5
    assert all(row["error_detail"].startswith("tolerated: ") for row in rows)


def test_h28_a_strict_client_refuses_it() -> None:
    with RawServer(answers()) as server, hurtle.Client(strict=True, retries=0) as client:
        errors = [response.error for response in client.fetch([server.base + path for path in SLOPPY])]
    codes = [error and error.code for error in errors]
    assert codes == ["protocol.header"] * 3 + ["protocol.transfer_encoding"] * 2


def test_strict_is_an_option_everywhere() -> None:
    assert Options().strict is False
    for words, strict in ((["--strict"], True), (["--no-strict"], False), ([], False)):
        given = given_options(parser().parse_args(["fetch", "urls.txt", *words]))
        assert Options.resolve(given).strict is strict
    with pytest.raises(ConfigError, match="strict"):
        Options.resolve({"strict": "yes"})
