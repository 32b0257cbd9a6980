"""Compressed JSON lines read back by gzip, and by duckdb, which reads both kinds."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

import hurtle
from hurtle.errors import MissingExtraError
from hurtle.formats import compressed
from hurtle.testing import Server
from tests.outputs.breaking import Found, check_killed, check_read_back, check_resumed

NAMES = ["out.jsonl.gz", "out.jsonl.zst"]
MAGIC = {".gz": b"\x1f\x8b\x08", ".zst": b"\x28\xb5\x2f\xfd"}


def rows_of(path: Path) -> list[tuple[int, Found]]:
    query = "SELECT index, url, status, body, error FROM read_json(?, format='newline_delimited')"
    with duckdb.connect() as connection:
        rows = connection.execute(query, [str(path)]).fetchall()
    return [
        (index, Found(url, status, None if body is None else body.encode(), error))
        for index, url, status, body, error in rows
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_read_back(tmp_path: Path, hurtle_server: Server, name: str) -> None:
    out = tmp_path / name
    check_read_back(hurtle_server, out, lambda: rows_of(out))
    assert out.read_bytes().startswith(MAGIC[out.suffix])
    assert out.stat().st_size < 30_000


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_run_is_gone_on_with(tmp_path: Path, hurtle_server: Server, name: str) -> None:
    out = tmp_path / name
    check_resumed(hurtle_server, out, lambda: rows_of(out))
    # Two parts, each complete on its own.
    assert out.read_bytes().count(MAGIC[out.suffix]) == 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("name", NAMES)
def test_a_killed_run_is_gone_on_with(tmp_path: Path, hurtle_server: Server, name: str) -> None:
    out = tmp_path / name
    check_killed(hurtle_server, tmp_path, out, lambda: rows_of(out))


@pytest.mark.slow
def test_gzip_reads_what_several_parts_became(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.jsonl.gz"
    check_resumed(hurtle_server, out, lambda: rows_of(out))
    with gzip.open(out) as file:
        assert len({json.loads(line)["index"] for line in file}) == 300
    subprocess.run(["gzip", "--test", str(out)], check=True, timeout=20)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_list_gives_a_whole_empty_file(tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    hurtle.run([], out)
    assert out.read_bytes().startswith(MAGIC[out.suffix])
    opened = compressed.open_gzip if name.endswith("gz") else compressed.open_zstd
    with opened(out) as file:
        assert file.read() == b""


@pytest.mark.parametrize("name", NAMES)
def test_parts_stay_in_a_folder(tmp_path: Path, hurtle_server: Server, name: str) -> None:
    format_name = name.removeprefix("out.")
    for _ in range(2):  # the second run drops what the first one left
        hurtle.run([hurtle_server.url("/bytes/1")], f"{tmp_path / 'out'}/", format=format_name, restart=True)
        (part,) = (tmp_path / "out").glob("part-*")
        assert part.name == f"part-000001.{format_name}"


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_has_fewer_rows(tmp_path: Path, hurtle_server: Server, name: str) -> None:
    out = tmp_path / name
    hurtle.run([hurtle_server.url(f"/bytes/100?seed={n}") for n in range(50)], out)
    opened = compressed.open_gzip if name.endswith("gz") else compressed.open_zstd
    assert compressed.count_lines(opened(out)) == 50
    out.write_bytes(out.read_bytes()[:-20])
    assert compressed.count_lines(opened(out)) < 50


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python has zstd itself")
def test_the_package_for_zstd_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"hurtle\[parquet\]"):
        hurtle.run([], tmp_path / "out.jsonl.zst")
    assert list(tmp_path.iterdir()) == []
