"""The main job on real input: thousands of pages, from nginx to Parquet, each equal to its file."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
import trustme

from tests.corpus.documents import TYPES, Document, find_tree, walk
from tests.corpus.nginx import Nginx, find_nginx, free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FEWEST_PAGES = 1000
FETCH_SECONDS = 240

# gzip only for text, as real servers do; small bodies stay as they are.
HTTP = """
gzip on;
gzip_min_length 200;
gzip_types text/css text/plain application/javascript image/svg+xml;
keepalive_requests 100000;
ssl_certificate {prefix}/server.pem;
ssl_certificate_key {prefix}/server.pem;
{types}
server {{
    listen 127.0.0.1:{http};
    listen 127.0.0.1:{https} ssl;
    listen 127.0.0.1:{h2} ssl http2;
    root {tree};
}}
"""


@dataclass(frozen=True, slots=True)
class Site:
    """The served tree."""

    documents: list[Document]
    origins: dict[str, str]
    """By name: http, https (HTTP/1.1 only) and h2 (HTTP/2 by ALPN)."""
    ca: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    tree = find_tree()
    missing = [
        name for name, found in (("nginx", find_nginx()), ("cppreference-doc-en-html", tree)) if not found
    ]
    if tree is None or missing:
        reason = f"not installed: {' and '.join(missing)} (Debian packages; `make corpus` installs them)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    prefix = tmp_path_factory.mktemp("nginx")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(prefix / "ca.pem")
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        prefix / "server.pem"
    )
    ports = {"http": free_port(), "https": free_port(), "h2": free_port()}
    config = HTTP.format(prefix=prefix, types=TYPES, tree=tree, **ports)
    origins = {
        name: f"{'http' if name == 'http' else 'https'}://localhost:{port}" for name, port in ports.items()
    }
    with Nginx(prefix, config, list(ports.values())):
        yield Site(list(walk(tree)), origins, prefix / "ca.pem")


def fetch(site: Site, origin: str, folder: Path) -> Path:
    """Run the command on every document of the site and return the Parquet file."""
    urls = folder / "urls.txt"
    lines = [f"# {len(site.documents)} documents", *(origin + document.target for document in site.documents)]
    urls.write_text("\n".join(lines) + "\n", encoding="utf-8")
    out = folder / "out.parquet"
    command = [sys.executable, "-m", "hurtle", "fetch", str(urls), "-o", str(out), "--verify", str(site.ca)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return out


def test_the_harness_serves_the_tree_when_asked_without_hurtle(site: Site) -> None:
    context = ssl.create_default_context(cafile=site.ca)
    for origin in site.origins.values():
        for document in site.documents[:: len(site.documents) // 20]:
            url = origin.replace("localhost", "127.0.0.1") + document.target
            with urllib.request.urlopen(
                url, timeout=10, context=context if url.startswith("https") else None
            ) as reply:
                assert reply.read() == document.path.read_bytes()


@pytest.mark.parametrize(("name", "version"), [("http", "1.1"), ("https", "1.1"), ("h2", "2")])
def test_every_body_equals_its_file_when_a_tree_is_fetched(
    site: Site, tmp_path: Path, name: str, version: str
) -> None:
    assert sum(document.path.suffix == ".html" for document in site.documents) >= FEWEST_PAGES
    out = fetch(site, site.origins[name], tmp_path)
    with duckdb.connect() as database:
        database.execute(f"CREATE VIEW results AS SELECT * FROM read_parquet('{out}')")

        def one(query: str) -> tuple[object, ...] | None:
            return database.execute(query).fetchone()

        count = len(site.documents)
        assert one("SELECT count(*), count(DISTINCT index), min(index), max(index) FROM results") == (
            count,
            count,
            0,
            count - 1,
        )
        assert one("SELECT count(*) FROM results WHERE ok AND status = 200 AND error IS NULL") == (count,)
        versions = database.execute("SELECT DISTINCT http_version FROM results").fetchall()
        assert [str(row[0]).removeprefix("HTTP/").removesuffix(".0") for row in versions] == [version]
        # The pages crossed the wire compressed, so that equality below proves the decoding too.
        assert one(
            "SELECT count(*) FROM results WHERE url LIKE '%.html' AND bytes_body >= 200"
            " AND content_encoding IS DISTINCT FROM 'gzip'"
        ) == (0,)
        assert one("SELECT sum(bytes_wire) < sum(bytes_body) FROM results") == (True,)
        compare_bodies(database, site)


def compare_bodies(database: duckdb.DuckDBPyConnection, site: Site) -> None:
    """Compare every row with the file that its index names, a few at a time."""
    cursor = database.execute("SELECT index, url, body, bytes_body FROM results")
    seen = 0
    while rows := cursor.fetchmany(128):
        for index, url, body, size in rows:
            document = site.documents[index]
            assert url.endswith(document.target)
            expected = document.path.read_bytes()
            assert size == len(expected)
            assert body == expected, f"{url}: the body differs from {document.path}"
            seen += 1
    assert seen == len(site.documents)
