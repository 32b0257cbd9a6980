"""A refresh of files that nginx serves: ETag and Last-Modified from a real server."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import hurtle
from tests.corpus.nginx import Nginx, find_nginx, free_port
from tests.refresh.test_refresh import rows_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed"),
]

HTTP = """
    server {{
        listen 127.0.0.1:{port};
        root {root};
        gzip on;
        gzip_min_length 1;
        gzip_types *;
        location /date/ {{ etag off; }}
        location /moved/ {{ return 301 /files$uri; }}
    }}
"""
FOLDERS = ("files", "date", "files/moved")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the URL of its server."""
    root, prefix = tmp_path / "root", tmp_path / "nginx"
    prefix.mkdir()
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True)
        for number in range(20):
            put(root / folder / f"{number}.txt", f"{folder} {number}\n" * 100, 1_700_000_000)
    port = free_port()
    with Nginx(prefix, HTTP.format(port=port, root=root), [port]):
        yield root, f"http://127.0.0.1:{port}"


def put(path: Path, text: str, modified: float) -> None:
    path.write_text(text, encoding="ascii")
    os.utime(path, (modified, modified))


def test_files_are_fetched_again_where_they_changed(tmp_path: Path, served: tuple[Path, str]) -> None:
    root, address = served
    urls = [f"{address}/{folder}/{n}.txt" for folder in ("files", "date", "moved") for n in range(20)]
    old, new, newer = tmp_path / "old.parquet", tmp_path / "new.parquet", tmp_path / "newer.parquet"
    assert hurtle.run(urls, old).ok == 60
    for folder in FOLDERS:
        put(root / folder / "3.txt", "changed\n" * 100, 1_700_000_100)
        put(root / folder / "4.txt", f"{folder} 4\n" * 100, 1_700_000_100)  # touched, but unchanged
        (root / folder / "5.txt").unlink()
    summary = hurtle.run(urls, new, since=old)
    assert summary.statuses == {304: 51, 200: 6, 404: 3}
    rows = rows_of(new)
    expected = ["unchanged"] * 20
    expected[3], expected[5] = "changed", "gone"
    assert [row["change"] for row in rows] == expected * 3
    assert [row["status"] for row in rows[:6]] == [304, 304, 304, 200, 200, 404]
    # The second run has only changed bodies, but every body can be found through the references.
    bodies = {row["index"]: row["body"] for row in hurtle.open_run(old)}
    found = [row["body"] if row["body_run"] is None else bodies[row["body_index"]] for row in rows]
    for row, body in zip(rows, found, strict=True):
        path = root / row["final_url"].removeprefix(f"{address}/")
        assert row["change"] == "gone" or body == path.read_bytes()
    assert hurtle.run(urls, newer, since=new).statuses == {304: 57, 404: 3}
    assert {row["body_run"] for row in rows_of(newer)} == {str(old), str(new)}
