"""The result table in PostgreSQL, on a real server, read back by plain psycopg."""

import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

import hurtle
from hurtle.cli.main import main
from hurtle.errors import ConfigError, MissingExtraError, SinkError
from hurtle.outputs import Identity, Resume
from hurtle.outputs import postgres as postgres_module
from hurtle.outputs.postgres import PostgresDatabase
from hurtle.sinks import new_sink
from hurtle.testing import Server
from tests.outputs.breaking import Found, check_killed, check_read_back, check_resumed
from tests.outputs.postgres_server import Postgres

pytestmark = pytest.mark.slow


@pytest.fixture
def out(postgres: Postgres) -> str:
    """The address of a new schema."""
    return postgres.new_schema()


def select(address: str, query: str) -> list[Any]:
    with psycopg.connect(address) as connection:
        return connection.execute(query).fetchall()


def rows_of(address: str) -> list[tuple[int, Found]]:
    found = select(address, 'SELECT "index", url, status, body, error FROM results')
    return [(index, Found(*row)) for index, *row in found]


def test_every_row_is_read_back(out: str, hurtle_server: Server) -> None:
    check_read_back(hurtle_server, out, lambda: rows_of(out))


def test_an_interrupted_run_is_gone_on_with(out: str, hurtle_server: Server) -> None:
    check_resumed(hurtle_server, out, lambda: rows_of(out))


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_run_is_gone_on_with(out: str, tmp_path: Path, hurtle_server: Server) -> None:
    check_killed(hurtle_server, tmp_path, out, lambda: rows_of(out))


def test_values_have_postgres_types(out: str, hurtle_server: Server) -> None:
    request = {"url": hurtle_server.url("/redirect/1"), "id": "a\0b", "meta": {"k": "\0é"}}
    hurtle.run([request, "http://x\0y/"], out)
    query = """SELECT id, meta::text, redirects->0->>'status', ok, pg_typeof(body)::text, t_dns,
        now() - fetched_at < interval '1 hour', headers->0->>'name', t_total > 0, url
        FROM results ORDER BY "index" """
    first, second = select(out, query)
    assert first[:6] == ("a\ufffdb", '{"k":"\\u0000\\u00e9"}', "302", True, "bytea", None)
    assert first[6:9] == (True, "content-type", True)
    assert second[9] == "http://x\ufffdy/"


def test_a_row_that_is_there_is_replaced(out: str, hurtle_server: Server) -> None:
    (batch,) = hurtle.fetch([hurtle_server.url("/bytes/10")])._batches
    how: tuple[Resume, ...] = ("restart", "trust")
    for resume in how:
        sink = new_sink(out)
        sink.begin(Identity(), resume)
        sink.write(batch)
        sink.close()
        assert select(out, "SELECT count(*), max(length(body)) FROM results") == [(1, 10)]
        with psycopg.connect(out) as connection:
            connection.execute("UPDATE results SET body = 'changed by somebody'")


def test_another_input_is_refused_and_a_restart_drops_it(out: str, hurtle_server: Server) -> None:
    hurtle.run([hurtle_server.url("/bytes/1")] * 9, out)
    with pytest.raises(ConfigError, match="its input is not the same"):
        hurtle.run([hurtle_server.url("/bytes/1")], out)
    assert hurtle.run([hurtle_server.url("/bytes/1")], out, restart=True).resumed == 0
    assert len(rows_of(out)) == 1


def test_a_second_run_is_refused(out: str, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_module, "LOCK_SECONDS", 0.1)
    first = new_sink(out)
    first.begin(Identity(), "auto")
    with pytest.raises(ConfigError, match="another run is using"):
        hurtle.run([hurtle_server.url("/bytes/1")], out)
    assert hurtle_server.stats()["requests"] == 0
    first.abort()
    hurtle.run([hurtle_server.url("/bytes/1")], out, restart=True)


def test_somebody_elses_tables_are_left_alone(out: str, hurtle_server: Server) -> None:
    with psycopg.connect(out) as connection:
        connection.execute("CREATE TABLE results (name TEXT)")
        connection.execute("CREATE TABLE songs (name TEXT)")
    with pytest.raises(ConfigError, match="holds the table results, not created by hurtle"):
        hurtle.run([], out, restart=True)
    with psycopg.connect(out) as connection:
        connection.execute("CREATE TABLE run (distance INT)")
    with pytest.raises(ConfigError, match="holds the table run, not created by hurtle"):
        hurtle.run([], out, restart=True)
    with psycopg.connect(out) as connection:
        connection.execute("DROP TABLE run; DROP TABLE results")
    hurtle.run([hurtle_server.url("/bytes/1")], out)
    assert select(out, "SELECT count(*) FROM songs") == [(0,)]


def test_a_schema_that_is_not_there_is_named(postgres: Postgres) -> None:
    with pytest.raises(ConfigError, match="no schema in the search path exists"):
        hurtle.run([], f"{postgres.address}?options=-csearch_path%3Dnowhere")


def test_a_server_that_goes_away_stops_the_run(out: str, hurtle_server: Server) -> None:
    urls = [hurtle_server.url(f"/bytes/{n}") for n in range(200)]

    def cut(_counters: Any) -> None:
        with psycopg.connect(out, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hurtle'"
            )

    with pytest.raises(SinkError, match="could not be written"):
        hurtle.run(urls, out, progress=cut)
    hurtle.run(urls, out)
    assert sorted(index for index, _ in rows_of(out)) == list(range(200))


def test_the_password_is_nowhere(
    out: str, postgres: Postgres, tmp_path: Path, hurtle_server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    hurtle.run([hurtle_server.url("/bytes/1")], out)
    assert postgres.password not in str(select(out, "SELECT record FROM run"))
    (tmp_path / "urls.txt").write_text(hurtle_server.url("/bytes/2") + "\n")
    assert main(["fetch", str(tmp_path / "urls.txt"), "-o", out]) == 2
    assert main(["fetch", str(tmp_path / "urls.txt"), "-o", out.replace("127.0.0.1", "wrong host")]) == 2
    assert main(["fetch", str(tmp_path / "urls.txt"), "-o", out.replace("127.0.0.1:", "127.0.0.1:0")]) == 2
    wrong = out.replace(postgres.password, "wrongpassword")
    assert main(["fetch", str(tmp_path / "urls.txt"), "-o", wrong]) == 2
    told = capfd.readouterr()
    assert "password authentication failed" in told.err
    assert postgres.password not in told.err + told.out
    assert "wrongpassword" not in told.err + told.out


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://me:pass@host:5432/db?sslmode=require", "postgresql://host:5432/db"),
        ("postgres:///db?host=/run&password=pass", "postgresql:///db"),
        ("postgresql://me:pa/ss@host/db", "postgresql://…"),
        ("postgresql://me:pa?ss@host/db", "postgresql://…"),
        ("postgresql://host/db?password=pa@ss", "postgresql://…"),
    ],
)
def test_an_address_is_shown_without_secrets(address: str, shown: str) -> None:
    assert PostgresDatabase(address).shown == shown


def test_an_address_that_cannot_be_is_refused_without_repeating_it() -> None:
    for address in ("postgresql://me:pass@host:port:5/db?x", "postgres://[me:pass@"):
        with pytest.raises(ConfigError) as error:
            hurtle.run([], address)
        assert "pass@" not in str(error.value)
    for address in ("postgresql://host/db", "PostgreSQL://me:pass@host/db"):
        with pytest.raises(ConfigError, match="does not fit postgresql://…"):
            hurtle.run([], address, format="jsonl")
    with pytest.raises(ConfigError, match="needs an address"):
        hurtle.run([], "out.postgres", format="postgres")


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"hurtle\[postgres\]"):
        hurtle.run([], "postgresql://127.0.0.1/db")


def test_a_scheme_in_capitals_is_the_same(out: str, hurtle_server: Server) -> None:
    """Source: RFC 3986, section 3.1."""
    shouted = out.replace("postgresql://", "POSTGRESQL://")
    hurtle.run([hurtle_server.url("/bytes/1")], shouted)
    assert [row["status"] for row in hurtle.open_run(out)] == [200]
    assert hurtle.open_run(shouted).rows == 1


def test_no_message_holds_the_password(
    out: str, hurtle_server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = str(conninfo_to_dict(out)["password"])

    def stop(counters: Any) -> None:
        if counters.done >= 20:
            raise KeyboardInterrupt

    urls = [hurtle_server.url(f"/delay/{n % 5}") for n in range(200)]
    with pytest.raises(KeyboardInterrupt):
        hurtle.run(urls, out, concurrency=2, progress=stop)
    told = [repr(hurtle.open_run(out))]
    for words in (
        ["cat", out],
        ["cat", out.replace("postgresql:", "postgres-ql:")],
        ["retry", out],
        ["fetch", urls[0], "-o", out],
        ["fetch", urls[0], "-o", f"{tmp_path}/new.parquet", "--since", out.replace("csearch", "cserch")],
        ["fetch", urls[0], "-o", out.replace("postgresql:", "POSTGRESQL:")],
        ["fetch", urls[0], "-o", out.replace("postgresql:", "POSTGRESQL:"), "--format", "postgres"],
    ):
        main(words)
        found = capsys.readouterr()
        assert found.err or words[0] == "fetch"
        told.append(found.err)
    assert "is not complete" in told[1]
    assert not [text for text in told if secret in text]


def test_failures_that_were_there_count(out: str, hurtle_server: Server) -> None:
    urls = [hurtle_server.url(path) for path in ("/status/503", "/bytes/1", "/status/500")]
    assert hurtle.run(urls, out, retries=0).failed == 2
    summary = hurtle.run(urls, out, retries=0)
    assert (summary.resumed, summary.resumed_failed, summary.failed) == (3, 2, 0)
