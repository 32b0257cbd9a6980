"""POSTs with an output that is not on this disk: the machine that sends them records them."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet
import pytest

import hurtle
from hurtle.errors import JournalError, LedgerError
from hurtle.outputs.record import Record
from hurtle.testing import Server
from tests.outputs.killed_posts import kill_in_the_second
from tests.outputs.postgres_server import Postgres
from tests.outputs.s3_server import BUCKET, S3

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")]

NUMBERS = count(1)


@dataclass(frozen=True, slots=True)
class Output:
    """An output that is not on this disk.

    Attributes:
        address: What `run` is given.
        errors: Reads position and error of each row, ascending.
        record: Reads what the run is.
    """

    address: str
    errors: Callable[[], list[tuple[int, str | None]]]
    record: Callable[[], Record]


@pytest.fixture(params=["postgres", "s3"])
def output(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Output:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "this machine"))
    if request.param == "postgres":
        return _in_postgres(request.getfixturevalue("postgres"))
    server: S3 = request.getfixturevalue("s3")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return _in_s3(server)


def _in_postgres(server: Postgres) -> Output:
    address = server.new_schema()

    def select(query: str) -> list[Any]:
        with psycopg.connect(address) as connection:
            return connection.execute(query).fetchall()

    return Output(
        address,
        lambda: select('SELECT "index", error FROM results ORDER BY "index"'),
        lambda: select("SELECT record FROM run")[0][0],
    )


def _in_s3(server: S3) -> Output:
    prefix = f"run{next(NUMBERS)}/"

    def errors() -> list[tuple[int, str | None]]:
        objects = server.objects(prefix)
        rows: list[tuple[int, str | None]] = []
        for name, data in objects.items():
            if name.startswith("journal/") and "part" in (entry := json.loads(data)):
                table = pyarrow.parquet.read_table(io.BytesIO(objects[entry["part"]]))
                rows += zip(table["index"].to_pylist(), table["error"].to_pylist(), strict=True)
        return sorted(rows, key=lambda row: row[0])

    return Output(f"s3://{BUCKET}/{prefix}", errors, lambda: json.loads(server.objects(prefix)["run.json"]))


def kept(folder: Path) -> list[str]:
    """Return what a machine keeps of runs."""
    return sorted(path.name for path in (folder / "hurtle" / "runs").glob("*/*"))


def test_a_post_that_may_have_been_sent_is_not_sent_again(
    tmp_path: Path, hurtle_server: Server, output: Output, orders: list[dict[str, Any]]
) -> None:
    kill_in_the_second(output.address, orders, hurtle_server, tmp_path)
    assert output.errors() == [(0, None)]
    assert "ledger" in kept(tmp_path / "this machine")
    hurtle.run(orders, output.address, retries=0)
    assert output.errors() == [(0, None), (1, "local.sent_unknown")]
    assert hurtle_server.stats()["requests"] == 2
    assert kept(tmp_path / "this machine") == []


def test_another_machine_sends_no_post_without_consent(
    tmp_path: Path,
    hurtle_server: Server,
    output: Output,
    orders: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kill_in_the_second(output.address, orders, hurtle_server, tmp_path)
    before = output.record()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"row 1 of the input must not be sent twice.*resend_unknown"):
            hurtle.run(orders, output.address, retries=0)
    assert hurtle_server.stats()["requests"] == 2
    assert output.record()["kept_by"] == before["kept_by"], "the other machine's notes are what counts"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "this machine"))
    hurtle.run(orders, output.address, retries=0)
    assert output.errors() == [(0, None), (1, "local.sent_unknown")]
    assert hurtle_server.stats()["requests"] == 2


def test_consent_makes_another_machine_the_one_that_notes(
    tmp_path: Path,
    hurtle_server: Server,
    output: Output,
    orders: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kill_in_the_second(output.address, orders, hurtle_server, tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
    hurtle.run(orders, output.address, retries=0, timeout=0.5, resend_unknown=True)
    assert output.errors() == [(0, None), (1, "timeout.first_byte")]
    assert hurtle_server.stats()["requests"] == 3
    assert kept(tmp_path / "another machine") == []


def test_another_machine_goes_on_with_what_may_be_repeated(
    tmp_path: Path, hurtle_server: Server, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [hurtle_server.url(f"/bytes/{n}") for n in range(300)]

    def stop(counters: Any) -> None:
        if counters.done >= 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hurtle.run(urls, output.address, progress=stop, rate_limit="500/s")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
    summary = hurtle.run(urls, output.address)
    assert 50 <= summary.resumed < 300
    assert output.errors() == [(n, None) for n in range(300)]
    assert kept(tmp_path / "another machine") == []


def test_a_run_begun_anew_knows_nothing_of_an_older_ledger(
    tmp_path: Path, hurtle_server: Server, output: Output, orders: list[dict[str, Any]]
) -> None:
    kill_in_the_second(output.address, orders, hurtle_server, tmp_path)
    hurtle.run(orders, output.address, retries=0, timeout=0.5, restart=True)
    assert output.errors() == [(0, None), (1, "timeout.first_byte")]
    assert kept(tmp_path / "this machine") == []


def test_a_state_directory_that_cannot_be_written_is_named_before_anything_is_sent(
    tmp_path: Path, hurtle_server: Server, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "a file"))
    with pytest.raises(hurtle.ConfigError, match=r"cannot be written .*set XDG_STATE_HOME to another"):
        hurtle.run([hurtle_server.url("/bytes/1")], output.address)
    assert hurtle_server.stats()["requests"] == 0


def test_a_ledger_that_cannot_be_read_stops_the_run(
    tmp_path: Path, hurtle_server: Server, output: Output, orders: list[dict[str, Any]]
) -> None:
    kill_in_the_second(output.address, orders, hurtle_server, tmp_path)
    (ledger,) = (tmp_path / "this machine").rglob("ledger")
    ledger.unlink()
    ledger.mkdir()
    with pytest.raises(JournalError, match="cannot be read"):
        hurtle.run(orders, output.address, retries=0)
    assert hurtle_server.stats()["requests"] == 2


def test_more_rows_of_an_input_that_is_read_once_are_noted_too(
    tmp_path: Path, hurtle_server: Server, output: Output, orders: list[dict[str, Any]]
) -> None:
    hurtle.run(iter(orders[:1]), output.address)
    first = output.record()["kept_by"]
    hurtle.run(iter(orders[:1]), output.address, resume=True)
    assert output.record()["kept_by"] != first
    noted: list[bool] = []

    def look(_counters: Any) -> None:
        noted.append("ledger" in kept(tmp_path / "this machine"))

    hurtle.run(iter(orders), output.address, resume=True, retries=0, timeout=0.5, progress=look)
    assert any(noted)
    assert output.errors() == [(0, None), (1, "timeout.first_byte")]
    assert output.record()["ended"] is True
    assert kept(tmp_path / "this machine") == []
