"""Rows as JSON lines and in the result table."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow
import pytest

import hurtle
from hurtle._engine import arrow_schema
from hurtle.formats.row_json import line_of, row_of
from hurtle.testing import Server
from tests.runs.conftest import MakeRun

NAMES = pyarrow.schema(arrow_schema()).names


def test_a_line_holds_what_the_sink_wrote_when_it_is_written_again(make_run: MakeRun) -> None:
    for line in make_run("out.jsonl").read_bytes().splitlines():
        row = row_of(json.loads(line))
        assert list(row) == NAMES
        assert isinstance(row["fetched_at"], datetime)
        assert json.loads(line_of(row)) == json.loads(line)
        assert list(json.loads(line_of(row))) == list(json.loads(line))


@pytest.mark.parametrize(
    ("body", "key", "text"),
    [
        (b"\xff\x00", "body_base64", "/wA="),
        ("né".encode(), "body", "né"),
        (None, "body", None),
        (b"", "body", ""),
    ],
)
def test_a_body_that_is_no_text_is_base64(body: bytes | None, key: str, text: str | None) -> None:
    record = json.loads(line_of({"index": 1, "body": body}))
    assert record == {"index": 1, key: text}
    assert row_of(record)["body"] == body


def test_nothing_in_a_line_steers_a_terminal() -> None:
    text = "\x1b[31m\x07\x7f\x9b\u202e\u2066\n"
    line = line_of({"index": 0, "meta": json.dumps({"k": text}, ensure_ascii=False), "url": text})
    assert line.count(b"\n") == 1
    assert line.decode().rstrip("\n").isprintable()
    assert json.loads(line) == {"index": 0, "meta": {"k": text}, "url": text}


@pytest.mark.parametrize("is_file", [False, True])
def test_nothing_in_a_line_of_a_run_steers_a_terminal(
    tmp_path: Path, hurtle_server: Server, is_file: bool
) -> None:
    row = {"url": hurtle_server.url("/bytes/1"), "id": "\u202e", "meta": {"k\u202e": "\x7f\x9b\u2066é"}}
    listed = tmp_path / "list.jsonl"
    listed.write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    out = tmp_path / "out.jsonl"
    hurtle.run(listed if is_file else [row], out)
    line = out.read_text(encoding="utf-8").rstrip("\n")
    assert line.isprintable()
    assert json.loads(line)["meta"] == row["meta"]


def test_half_of_a_surrogate_pair_stays_escaped() -> None:
    record = {"index": 0, "meta": {"k": "é\ud800"}}
    row = row_of(record)
    assert row["meta"] == '{"k":"\\u00e9\\ud800"}'
    assert json.loads(line_of(row))["meta"] == record["meta"]


def test_an_instant_is_written_in_utc_to_the_microsecond() -> None:
    line = line_of({"fetched_at": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)})
    assert line == b'{"fetched_at":"2024-01-02T03:04:05.000000Z"}\n'
