"""Lists of URLs and JSONL as people have them: BOMs, CRLF, comments, broken lines, cut-off archives."""

import gzip
import io
import sys
from pathlib import Path

import pytest

from hurtle.errors import ConfigError
from hurtle.models import BadRow, Request
from hurtle.sources import lines as lines_module
from hurtle.sources import open_source


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_i9_blank_lines_and_comments_are_skipped_and_counted(tmp_path: Path) -> None:
    source = open_source(written(tmp_path, "a.txt", b"http://a/1\n\n# comment\n   # too\n\t\nhttp://a/2\n"))
    assert source.total == 2
    assert list(source) == ["http://a/1", "http://a/2"]
    assert source.skipped == 4
    source.close()


def test_i10_i12_bom_crlf_and_a_missing_last_line_end_are_handled(tmp_path: Path) -> None:
    source = open_source(
        written(tmp_path, "a.txt", b"\xef\xbb\xbfhttp://a/1\r\n  http://a/\xc3\xa9 \r\nhttp://a/3")
    )
    assert list(source) == ["http://a/1", "http://a/é", "http://a/3"]
    source.close()


def test_i11_a_line_that_is_no_utf8_is_one_bad_row(tmp_path: Path) -> None:
    source = open_source(written(tmp_path, "a.txt", b"http://a/1\nhttp://a/\xff\nhttp://a/3\n"))
    good, bad, after = source
    source.close()
    assert (good, after) == ("http://a/1", "http://a/3")
    assert bad == BadRow("input.row", "the line is not UTF-8", 2, "http://a/\\xff")


def test_a_line_without_end_is_one_bad_row_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_module, "LONGEST_LINE", 1000)
    path = written(tmp_path, "a.txt", b"http://a/1\n" + b"x" * 5000 + b"\nhttp://a/3\n")
    source = open_source(path)
    good, bad, after = source
    source.close()
    assert (good, after) == ("http://a/1", "http://a/3")
    assert isinstance(bad, BadRow)
    assert (bad.line, bad.detail) == (2, "the line is too long")


def test_an_empty_list_has_no_rows(tmp_path: Path) -> None:
    source = open_source(written(tmp_path, "a.txt", b""))
    assert source.total == 0
    assert list(source) == []
    source.close()


def test_a_compressed_list_is_read(tmp_path: Path) -> None:
    source = open_source(written(tmp_path, "a.txt.gz", gzip.compress(b"http://a/1\nhttp://a/2\n")))
    assert source.total is None
    assert list(source) == ["http://a/1", "http://a/2"]
    source.close()


def test_a_zstd_list_is_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    packed = pyarrow.compress(b"http://a/1\n" * 5000, codec="zstd", asbytes=True)
    source = open_source(written(tmp_path, "a.txt.zst", packed))
    assert list(source) == ["http://a/1"] * 5000
    source.close()


def test_i16_a_cut_off_archive_gives_its_rows_and_says_that_it_ends_early(tmp_path: Path) -> None:
    urls = [f"http://a/{number}" for number in range(20_000)]
    packed = gzip.compress("\n".join(urls).encode())
    source = open_source(written(tmp_path, "a.txt.gz", packed[: len(packed) * 2 // 3]))
    *rows, end = source
    source.close()
    assert isinstance(end, BadRow)
    assert end.code == "input.truncated"
    assert len(rows) > 1000
    assert rows == urls[: len(rows)]


def test_a_file_that_is_no_archive_is_one_bad_row(tmp_path: Path) -> None:
    source = open_source(written(tmp_path, "a.txt.gz", b"http://a/1\n"))
    (end,) = source
    source.close()
    assert isinstance(end, BadRow)
    assert end.code == "input.truncated"


def test_stdin_is_read_and_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"http://a/1\n"))
    monkeypatch.setattr(sys, "stdin", stdin)
    source = open_source("-")
    assert not source.steady
    assert source.total is None
    assert list(source) == ["http://a/1"]
    source.close()
    assert not stdin.closed


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "a.txt", b"http://a/\n")

    def refuse(_path: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(lines_module, "_opened", refuse)
    with pytest.raises(ConfigError, match="Permission denied"):
        open_source(path)


def test_i17_jsonl_gives_requests_and_a_bad_row_with_its_line(tmp_path: Path) -> None:
    content = (
        b'{"url": "http://a/1", "method": "POST", "json": {"k": 1}, "id": "first"}\n'
        b"\n"
        b'"http://a/2"\n'
        b"{broken\n"
        b'{"url": "http://a/3", "body": "x"}\n'
        b"[1]\n"
        b'{"url": "http://\\ud800/"}\n' + b"[" * 100_000 + b"\n"
    )
    source = open_source(written(tmp_path, "a.jsonl", content))
    assert source.total == 7
    first, second, broken, unknown, array, surrogate, deep = source
    assert source.skipped == 1
    source.close()
    assert first == Request("http://a/1", "POST", json={"k": 1}, id="first")
    assert second == "http://a/2"
    bad = [broken, unknown, array, surrogate, deep]
    assert [row.line for row in bad if isinstance(row, BadRow)] == [4, 5, 6, 7, 8]
    assert isinstance(unknown, BadRow)
    assert "unknown key 'body'" in unknown.detail
    assert all(row.text.isprintable() for row in bad if isinstance(row, BadRow))
