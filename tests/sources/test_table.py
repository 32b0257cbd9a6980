"""CSV, Parquet and tables in memory: a `url` column, the request's own keys, everything else in `meta`."""

import csv
from pathlib import Path
from typing import Any

import polars
import pyarrow
import pyarrow.parquet
import pytest

from hurtle.errors import ConfigError
from hurtle.models import BadRow, Request
from hurtle.sources import open_source


def rows_of(requests: Any, format: str | None = None) -> list[Any]:  # noqa: A002
    source = open_source(requests, format)
    try:
        return list(source)
    finally:
        source.close()


def csv_rows(folder: Path, text: str) -> list[Any]:
    path = folder / "rows.csv"
    path.write_bytes(text.encode())
    return rows_of(path)


def test_a_csv_of_urls_alone_stays_text(tmp_path: Path) -> None:
    assert csv_rows(tmp_path, "\ufeffurl\r\nhttp://a/1\r\n\r\nhttp://a/2\r\n") == ["http://a/1", "http://a/2"]


def test_columns_are_request_keys_or_meta(tmp_path: Path) -> None:
    header = "url,method,headers,timeout,priority,id,customer\n"
    text = header + 'http://a/,put,"{""x"": ""1""}",2.5,3,first,"Ada, Inc"\n'
    (row,) = csv_rows(tmp_path, text)
    assert row == Request(
        "http://a/",
        "PUT",
        headers={"x": "1"},
        timeout=2.5,
        priority=3,
        id="first",
        meta={"customer": "Ada, Inc"},
    )


def test_an_empty_cell_is_an_absent_value(tmp_path: Path) -> None:
    rows = csv_rows(tmp_path, "url,method,customer\nhttp://a/,,\n,,x\n")
    assert rows[0] == "http://a/"
    assert isinstance(rows[1], BadRow)
    assert "no url" in rows[1].detail


def test_a_line_break_inside_quotes_belongs_to_the_cell(tmp_path: Path) -> None:
    (row,) = csv_rows(tmp_path, 'url,note\nhttp://a/,"one\ntwo"\n')
    assert row.meta == {"note": "one\ntwo"}


def test_i17_a_bad_csv_row_is_one_bad_row_with_its_line(tmp_path: Path) -> None:
    text = 'url,headers,timeout\nhttp://a/1\nhttp://a/2,{broken,\nhttp://a/3,,soon\n"a"b,,\nhttp://a/5,,1\n'
    *bad, good = csv_rows(tmp_path, text)
    assert good == Request("http://a/5", timeout=1.0)
    assert [row.line for row in bad] == [2, 3, 4, 5]
    assert all(isinstance(row, BadRow) and row.code == "input.row" for row in bad)


@pytest.mark.parametrize(
    ("text", "words"),
    [("name\nx\n", "no column 'url'; its columns: 'name'"), ("", "none"), ("url,url\n", "several")],
)
def test_a_csv_without_one_url_column_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        csv_rows(tmp_path, text)


def test_the_csv_modules_limit_is_put_back(tmp_path: Path) -> None:
    before = csv.field_size_limit(1234)
    try:
        (row,) = csv_rows(tmp_path, f"url,note\nhttp://a/,{'x' * 200_000}\n")
        assert len(row.meta["note"]) == 200_000
        assert csv.field_size_limit() == 1234
    finally:
        csv.field_size_limit(before)


def test_a_column_that_is_read_as_the_requests_own_is_named() -> None:
    columns = {"url": ["http://a/"] * 2, "data": ["text", None], "priority": [None, 1.5]}
    first, second = rows_of(pyarrow.table(columns))
    assert "data takes a mapping" in first.detail
    assert first.detail.endswith("(columns that are request keys: data)")
    assert "priority takes a whole number, not 1.5" in second.detail
    assert second.detail.endswith("(columns that are request keys: priority)")


def test_headers_of_a_result_table_are_read_as_headers() -> None:
    fields = [{"name": "X", "value": "1"}]
    (row,) = rows_of(pyarrow.table({"url": ["http://a/"], "headers": [fields]}))
    assert row.header_items() == [("X", "1")]


def test_parquet_is_read_by_the_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(
        pyarrow.table({"url": [f"http://a/{n}" for n in range(3000)], "n": range(3000)}),
        path,
        row_group_size=700,
    )
    source = open_source(path)
    assert source.total == 3000
    rows = list(source)
    source.close()
    assert [row.meta for row in rows if isinstance(row, Request)] == [{"n": n} for n in range(3000)]


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"no parquet at all")
    with pytest.raises(ConfigError, match="cannot be read as Parquet"):
        open_source(path)


TABLE = pyarrow.table({"url": ["http://a/1", None, "http://a/3"], "customer": [1, 2, 3]})


@pytest.mark.parametrize(
    "table",
    [TABLE, TABLE.to_batches()[0], polars.DataFrame(TABLE), TABLE.to_reader()],
    ids=["Table", "RecordBatch", "polars", "RecordBatchReader"],
)
def test_a_table_in_memory_is_read(table: Any) -> None:
    first, null, last = rows_of(table)
    assert first == Request("http://a/1", meta={"customer": 1})
    assert last == Request("http://a/3", meta={"customer": 3})
    assert isinstance(null, BadRow)
    assert "no url" in null.detail


@pytest.mark.parametrize(
    "column", [TABLE["url"], polars.Series(TABLE["url"])], ids=["ChunkedArray", "Series"]
)
def test_a_column_of_urls_is_read(column: Any) -> None:
    first, null, last = rows_of(column)
    assert (first, last) == ("http://a/1", "http://a/3")
    assert isinstance(null, BadRow)


def test_a_table_of_urls_alone_stays_text_and_a_null_is_a_bad_row() -> None:
    first, null, last = rows_of(TABLE.select(["url"]))
    assert (first, last) == ("http://a/1", "http://a/3")
    assert isinstance(null, BadRow)


def test_a_table_without_urls_is_refused() -> None:
    with pytest.raises(ConfigError, match="no column 'url'"):
        open_source(TABLE.select(["customer"]))
