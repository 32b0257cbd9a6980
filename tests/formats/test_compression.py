"""`compression=`: how pages of Parquet and lines are compressed, and what is refused."""

import argparse
import gzip
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

import hurtle
from hurtle.cli.main import main
from hurtle.errors import ConfigError
from hurtle.formats.parquet import compression_of
from hurtle.testing import Server
from tests.formats.raw_server import RawServer

NAMED = {
    None: "ZSTD",
    "zstd": "ZSTD",
    "zstd:22": "ZSTD",
    "lz4": "LZ4",
    "snappy": "SNAPPY",
    "none": "UNCOMPRESSED",
}


def codecs_of(path: Path) -> set[str]:
    with pyarrow.parquet.ParquetFile(path) as file:
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
        return {group.column(at).compression for group in groups for at in range(group.num_columns)}


def urls_of(server: Server, rows: int = 20) -> list[str]:
    return [server.url(f"/bytes/2000?n={number}") for number in range(rows)]


@pytest.mark.parametrize("given", NAMED)
def test_parquet_has_the_codec_that_was_asked_for(
    given: str | None, tmp_path: Path, hurtle_server: Server
) -> None:
    hurtle.run(urls_of(hurtle_server), tmp_path / "out.parquet", compression=given)
    assert codecs_of(tmp_path / "out.parquet") == {NAMED[given]}
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert {len(body) for body in table["body"].to_pylist()} == {2000}


def test_a_higher_level_makes_a_smaller_file(tmp_path: Path) -> None:
    text = Path(argparse.__file__).read_bytes()
    page = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(text) + text
    sizes = []
    with RawServer({"/": page}) as server:
        for given in ("zstd:1", "zstd:22", "lz4", "none"):
            out = tmp_path / "out.parquet"
            hurtle.run([server.base], out, compression=given)
            sizes.append(out.stat().st_size)
    assert sizes[1] < sizes[0] < sizes[2] < sizes[3]


@pytest.mark.parametrize(
    "given",
    ["", "zstd:", "zstd:0", "zstd:23", "zstd:-1", "zstd:1.5", "zstd:²", "lz4:1", "LZ4", "gzip", "brotli", 1],
)
def test_another_compression_is_refused(given: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"compression=.*must be"):
        hurtle.run([], tmp_path / "out.parquet", compression=given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.jsonl.zst", "out.warc.gz", "out.sqlite", "-"])
def test_an_output_without_a_choice_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="compression='zstd' does not fit"):
        hurtle.run([], name if name == "-" else tmp_path / name, compression="zstd")


def test_lines_take_a_level_of_gzip(tmp_path: Path, hurtle_server: Server) -> None:
    sizes: list[int] = []
    for given in (None, "gzip", "gzip:1", "gzip:9"):
        out = tmp_path / f"{len(sizes)}.jsonl.gz"
        hurtle.run(urls_of(hurtle_server, 100), out, compression=given)
        assert gzip.decompress(out.read_bytes()).count(b"\n") == 100
        sizes.append(out.stat().st_size)
    assert sizes[3] < sizes[2]
    for wrong in ("gzip:0", "gzip:10", "zstd", "gzip:"):
        with pytest.raises(ConfigError, match=r"compression=.*must be \"gzip\""):
            hurtle.run([], tmp_path / "out.jsonl.gz", compression=wrong)


def test_rows_are_compressed_where_bodies_are_apart(tmp_path: Path, hurtle_server: Server) -> None:
    hurtle.run(urls_of(hurtle_server), tmp_path / "out.parquet", bodies="apart", compression="none")
    assert codecs_of(tmp_path / "out.parquet") == {"UNCOMPRESSED"}


def test_a_run_may_go_on_with_another_compression(tmp_path: Path, hurtle_server: Server) -> None:
    out = f"{tmp_path}/parts/"
    urls = urls_of(hurtle_server)
    with pytest.raises(KeyboardInterrupt):
        hurtle.run(interrupted(urls), out, compression="none")
    summary = hurtle.run(iter(urls), out, compression="lz4", resume=True)
    assert summary.requests + summary.resumed == len(urls)
    found = [codecs_of(part) for part in sorted(Path(out).glob("part-*.parquet"))]
    assert found == [{"UNCOMPRESSED"}, {"LZ4"}]


def interrupted(urls: list[str]) -> Any:
    yield from urls[:5]
    raise KeyboardInterrupt


def test_a_retry_in_a_folder_keeps_the_compression(tmp_path: Path, hurtle_server: Server) -> None:
    out = f"{tmp_path}/parts/"
    hurtle.run(urls_of(hurtle_server), out, compression="zstd:3")
    hurtle.run(urls_of(hurtle_server), f"{tmp_path}/other/", compression="snappy")
    hurtle.retry(f"{tmp_path}/other/", urls_of(hurtle_server), where='"index" < 2')
    found = [codecs_of(part) for part in sorted((tmp_path / "other").glob("part-*.parquet"))]
    assert found == [{"SNAPPY"}, {"SNAPPY"}]


def test_the_command_takes_it(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.parquet"
    command = ["fetch", *urls_of(hurtle_server, 1), "-q", "-o", str(out)]
    assert main([*command, "--compression", "lz4"]) == 0
    assert codecs_of(out) == {"LZ4"}
    assert main([*command, "--compression", "lzma"]) == 2
    assert compression_of("zstd:09") == "zstd:9"
