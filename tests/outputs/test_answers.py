"""The log of answers to requests that must not be sent again: what is in it, and what a crash makes of it."""

import errno
import json
import os
from pathlib import Path
from time import monotonic
from typing import Any, cast

import pyarrow
import pytest

import hurtle
from hurtle.client.rows import OrderedRows, RowReorder
from hurtle.errors import JournalError, SinkError
from hurtle.formats import FORMATS
from hurtle.outputs import answers
from hurtle.outputs.answers import UNREPEATABLE_SECONDS, AnswerLog, LoggedRows, commit_answers, logged_rows
from hurtle.positions import Done
from hurtle.rows import Rows
from hurtle.sinks.parts import PartsSink
from hurtle.testing import Server


def rows_of(server: Server) -> OrderedRows:
    """Return rows with everything that a row can hold, in order."""
    requests: list[Any] = [
        {
            "url": server.url(f"/bytes/{500 * n}"),
            "method": "POST",
            "content": "x",
            "meta": meta,
            "id": f"é {n}",
        }
        for n, meta in enumerate((None, "-5", -5, [1, None], {"text": "\u202e\x00'"}))
    ]
    requests += [server.url("/status/404?body=%e2%80%ae"), "no address"]
    reorder = RowReorder(None)
    batches = hurtle.fetch(requests, retries=0)._batches
    return OrderedRows([row for batch in batches for row in reorder.pass_on(batch)._rows])


def log_of(path: Path, *batches: Rows, records_exchanges: bool = False) -> None:
    log = AnswerLog(path, records_exchanges=records_exchanges)
    for batch in batches:
        log.append(batch)
    log.close()


def everything(_: int) -> bool:
    return True


def test_rows_come_back_as_they_went_in(tmp_path: Path, hurtle_server: Server) -> None:
    batch, log = rows_of(hurtle_server), tmp_path / "log"
    log_of(log, batch)
    rows = logged_rows(log, everything)
    assert (len(rows), rows.indexes(), rows.failures()) == (len(batch), batch.indexes(), batch.failures())
    assert rows.exchanges() == batch.exchanges()
    assert [one.content for one in rows] == [one.content for one in batch]
    for bodies in (True, False):
        lines, expected = (each.to_jsonl(bodies=bodies).splitlines() for each in (rows, batch))
        assert [*map(json.loads, lines)] == [*map(json.loads, expected)]
        assert [list(json.loads(line)) for line in lines] == [list(json.loads(line)) for line in expected]
        assert "\u202e" not in b"".join(lines).decode()
    assert pyarrow.record_batch(rows).equals(pyarrow.record_batch(batch))


def test_what_went_over_the_wire_comes_back(tmp_path: Path, hurtle_server: Server) -> None:
    out, log = tmp_path / "out.warc.gz", tmp_path / "log"
    seen: list[Rows] = []

    with pytest.MonkeyPatch.context() as patch:
        write = PartsSink.write

        def note(sink: PartsSink, rows: Rows) -> None:
            seen.append(rows)
            write(sink, rows)

        patch.setattr(PartsSink, "write", note)
        hurtle.run([hurtle_server.url("/redirect/2"), hurtle_server.url("/gzip/900"), "nonsense"], out)
    log_of(log, *seen, records_exchanges=True)
    rows = logged_rows(log, everything)
    names = ("url", "started_us", "remote_ip", "http_version", "request", "response", "body_at", "truncated")
    expected = [exchanges for batch in seen for exchanges in batch.exchanges()]
    assert sorted(map(len, expected)) == [0, 1, 3]
    for logged, sent in zip(rows.exchanges(), expected, strict=True):
        assert [[getattr(one, name) for name in names] for one in logged] == [
            [getattr(one, name) for name in names] for one in sent
        ]


def test_what_a_crash_cut_off_and_what_is_not_wanted_is_left_out(
    tmp_path: Path, hurtle_server: Server
) -> None:
    batch, log = rows_of(hurtle_server), tmp_path / "log"
    log_of(log, batch)
    whole = log.read_bytes()
    found = [int(json.loads(line)["index"]) for line in whole.splitlines()]
    for cut in range(1, 200, 7):
        log.write_bytes(whole[:-cut])
        assert logged_rows(log, everything).indexes() == found[:-1]
    log.write_bytes(whole + b"\0" * 50 + b"\n" + whole)
    assert logged_rows(log, everything).indexes() == found
    assert logged_rows(log, lambda index: index == 3).indexes() == [3]
    assert len(logged_rows(tmp_path / "none", everything)) == 0
    with pytest.raises(JournalError, match="cannot be read"):
        logged_rows(tmp_path, everything)


def test_a_log_that_is_begun_drops_what_was_there(tmp_path: Path, hurtle_server: Server) -> None:
    batch, log = rows_of(hurtle_server), tmp_path / "log"
    log_of(log, batch, batch)
    assert len(logged_rows(log, everything)) == len(batch)
    size = log.stat().st_size
    log_of(log, batch)
    assert log.stat().st_size == size // 2
    again = AnswerLog(log, records_exchanges=False)
    again.append(batch)
    again.clear()
    assert log.stat().st_size == 0
    again.append(batch)
    again.close()
    assert len(logged_rows(log, everything)) == len(batch)


def test_rows_are_fsynced_at_once_or_soon_after_those_before(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, synced, now = rows_of(hurtle_server), 0, monotonic()

    def fsync(_: int) -> None:
        nonlocal synced
        synced += 1

    log = AnswerLog(tmp_path / "log", records_exchanges=False)
    log.append(batch)
    monkeypatch.setattr(answers, "monotonic", lambda: now)
    monkeypatch.setattr(os, "fsync", fsync)
    log.clear()
    now += 9
    for step, expected in ((0, 1), (0, 1), (UNREPEATABLE_SECONDS / 2, 1), (UNREPEATABLE_SECONDS / 2, 2)):
        now += step
        log.append(batch)
        assert synced == expected
    log.tick()
    log.append(batch)
    log.tick()
    assert synced == 2
    now += UNREPEATABLE_SECONDS
    log.tick()
    log.tick()
    assert synced == 3
    log.close()


def test_a_disk_that_fails_ends_the_run(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = rows_of(hurtle_server)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(SinkError, match=r"log could not be written: No space left on device"):
        AnswerLog(tmp_path / "log", records_exchanges=False).append(batch)
    with pytest.raises(SinkError, match="could not be written"):
        AnswerLog(tmp_path / "no folder" / "log", records_exchanges=False).append(batch)


@pytest.mark.parametrize("name", FORMATS)
def test_the_rows_of_a_log_become_a_part_of_every_format(
    tmp_path: Path, hurtle_server: Server, name: str
) -> None:
    batch, log = rows_of(hurtle_server), tmp_path / "log"
    log_of(log, batch, records_exchanges=FORMATS[name].records_exchanges)
    done = Done()
    done.add(1, failed=False)

    class Parts:
        def __init__(self) -> None:
            self.committed: list[tuple[Path, int, list[int], list[int]]] = []

        def new_part(self, extension: str) -> Path:
            return tmp_path / f"part-000001{extension}"

        def commit(self, part: Path, rows: int, done: Any, failed: Any = ()) -> None:
            self.committed.append((part, rows, list(done), list(failed)))

    parts = Parts()
    commit_answers(log, parts, FORMATS[name], done, range(6))
    ((part, count, indexes, failed),) = parts.committed
    expected = [index for index in batch.indexes() if index not in (1, 6)]
    assert (count, indexes, failed) == (len(expected), expected, sorted(set(batch.failures()) - {6}))
    stored = FORMATS[name].stored(part)
    assert [row["index"] for chunk in stored.rows() for row in chunk] == expected
    assert all(index in done for index in range(6))
    commit_answers(log, parts, FORMATS[name], done, range(6))
    assert len(parts.committed) == 1, "what is done is not committed again"


def test_a_log_is_read_as_rows(tmp_path: Path, hurtle_server: Server) -> None:
    log_of(tmp_path / "log", rows_of(hurtle_server))
    rows: Rows = cast("Rows", logged_rows(tmp_path / "log", everything))
    assert isinstance(rows, LoggedRows)
    assert rows.unrepeatable == 0
    assert rows.nbytes == sum(500 * n for n in range(5)) + len("\u202e".encode())
