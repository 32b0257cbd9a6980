"""A refresh in PostgreSQL, of a run in PostgreSQL."""

import psycopg
import pytest

import hurtle
from hurtle.outputs.names import without_password
from tests.outputs.postgres_server import Postgres
from tests.refresh.validating_server import Page, ValidatingServer

pytestmark = pytest.mark.slow


def test_a_schema_is_refreshed_into_another(
    postgres: Postgres, site: ValidatingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages = {f"/{n}": Page(b"%d" % n, etag='"1"') for n in range(3)}
    urls = [site.url(path) for path in site.pages]
    outs = [postgres.new_schema() for _ in range(3)]
    hurtle.run(urls, outs[0])
    site.pages["/1"] = Page(b"new", etag='"2"')
    hurtle.run(urls, outs[1], since=outs[0])
    # Rows name runs without passwords: libpq finds those in its usual places.
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    hurtle.run(urls, outs[2], since=outs[1])
    with psycopg.connect(outs[2]) as connection:
        rows = connection.execute(
            'SELECT change, body, body_run, body_index FROM results ORDER BY "index"'
        ).fetchall()
    one, two, _ = (out.replace(f":{postgres.password}", "") for out in outs)
    assert one != outs[0]
    assert rows == [
        ("unchanged", None, one, 0), ("unchanged", None, two, 1), ("unchanged", None, one, 2),
    ]  # fmt: skip
    run = hurtle.open_run(outs[2])
    assert {row["index"]: run.body(row) for row in run} == {0: b"0", 1: b"new", 2: b"2"}
    site.pages["/2"] = Page(b"down", status=500)
    with psycopg.connect(outs[2], autocommit=True) as connection:
        connection.execute('UPDATE results SET ok = false WHERE "index" = 2')
    hurtle.retry(outs[2], urls, retries=0)
    (row,) = hurtle.open_run(outs[2]).select("change = 'error'")
    assert (row["index"], row["status"]) == (2, 500)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://me:se@cret@h:5/db", "postgresql://me@h:5/db"),
        ("postgresql://me@h/db?sslpassword=x", "postgresql://me@h/db"),
        ("postgresql://h/db?a=b:c@d", "postgresql://h/db?a=b:c@d"),
        ("s3://bucket/runs/2026-10:a@b/", "s3://bucket/runs/2026-10:a@b/"),
        ("runs/a:b@c?password=d", "runs/a:b@c?password=d"),
    ],
)
def test_references_have_no_passwords(given: str, shown: str) -> None:
    assert without_password(given) == shown
