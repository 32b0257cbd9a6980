"""Expressions that select rows: SQL over the scalar columns, and nothing else."""

from datetime import UTC, datetime
from typing import Any

import pyarrow
import pytest

from hurtle._engine import arrow_schema
from hurtle.errors import ConfigError
from hurtle.formats.table import APART_COLUMNS, REFRESH_COLUMNS
from hurtle.runs import Where
from hurtle.runs.where import SCALARS

ROWS: list[dict[str, Any]] = [
    {"index": 7, "ok": True, "status": 200, "error": None, "meta": '{"k":1}',
     "fetched_at": datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC)},
    {"index": 2, "ok": False, "status": 503, "error": None, "meta": None},
    {"index": 5, "ok": False, "status": None, "error": "timeout.connect", "meta": None},
]  # fmt: skip


def picked(expression: str) -> list[int]:
    with Where(expression) as where:
        return where.picked(ROWS)


@pytest.mark.parametrize(
    ("expression", "indexes"),
    [
        ("not ok", [2, 5]),
        ("ok = 1", [7]),
        ("error like 'timeout.%'", [5]),
        ("status >= 500", [2]),
        ("status is null or status >= 500", [2, 5]),
        ('"index" in (7, 5)', [7, 5]),
        ("json_extract(meta, '$.k') = 1", [7]),
        ("fetched_at = '2024-01-02T03:04:05.000006Z'", [7]),
        ("not ok -- those that failed", [2, 5]),
        ("0", []),
    ],
)
def test_rows_are_picked_when_the_expression_is_true(expression: str, indexes: list[int]) -> None:
    assert picked(expression) == indexes


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "syntax error"),
        ("statsu = 1", "no such column: statsu"),
        ("headers is null", "no such column: headers"),
        ("body is null", "no such column: body"),
        ("index = 3", 'write "index" in double quotes'),
        ("status = ?", "bindings"),
        ("status in (select 1)", "cannot contain SELECT"),
        ("exists (select * from sqlite_master)", "cannot contain SELECT"),
        ("1) union select (2", "cannot contain SELECT"),
        ("1) limit (2", 'near "."'),
        ("1) or (2", 'near "."'),
        ("1 limit 2", 'near "limit"'),
        ("1 order by status", 'near "order"'),
        ("1;", 'near ";"'),
        ("1 /*", "incomplete|syntax"),
        ("1; delete from rows", "syntax error"),
        ("load_extension('x')", "only expressions"),
        ("count(*) > 1", "misuse of aggregate"),
        ("json_extract(error, '$') = 1", "malformed JSON"),
    ],
)
def test_an_expression_is_refused_when_it_is_more_or_less_than_one(expression: str, words: str) -> None:
    with pytest.raises(ConfigError, match="(?i)" + words.replace("(", r"\(")) as caught:
        picked(expression)
    assert caught.value.option == "where"


def test_the_columns_that_it_reads_are_known() -> None:
    with Where("status >= 500 and error is null") as where:
        assert where.columns == ["index", "status", "error"]


def test_every_scalar_column_can_be_named() -> None:
    def is_scalar(kind: Any) -> bool:
        return not (pyarrow.types.is_nested(kind) or pyarrow.types.is_large_binary(kind))

    schema = pyarrow.schema(arrow_schema())
    known = [field.name for field in schema if is_scalar(field.type)]
    assert list(SCALARS) == [*known, *REFRESH_COLUMNS, *APART_COLUMNS]
