"""Which source fits what a caller gave, and the message when none does."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from hurtle.errors import ConfigError
from hurtle.models import Request
from hurtle.sources import AsyncSource, open_async_source, open_source
from hurtle.sources.base import IterableSource
from hurtle.sources.jsonl import JsonlSource
from hurtle.sources.table import ArrowSource, CsvSource
from hurtle.sources.text import TextSource


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("urls.txt", TextSource),
        ("urls", TextSource),
        ("URLS.TXT", TextSource),
        ("rows.jsonl", JsonlSource),
        ("rows.csv", CsvSource),
        ("rows.tsv", CsvSource),
    ],
)
def test_the_extension_says_the_format(tmp_path: Path, name: str, kind: type) -> None:
    path = tmp_path / name
    path.write_text("url\tx\n" if name.endswith("tsv") else "url,x\n")
    assert type(open_source(path)) is kind
    assert type(open_source(str(path))) is kind


def test_a_named_format_wins_over_the_extension(tmp_path: Path) -> None:
    path = tmp_path / "rows.dat"
    path.write_text("url\n")
    assert type(open_source(path, "csv")) is CsvSource


def test_a_compressed_file_keeps_its_format(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.touch()
    assert type(open_source(path)) is JsonlSource


def test_collections_iterators_and_tables_are_told_apart() -> None:
    assert open_source(["http://a/"]).total == 1
    assert open_source(["http://a/"]).steady
    assert not open_source(iter(["http://a/"])).steady
    assert open_source(iter(["http://a/"])).total is None
    assert open_source({"http://a/": 1}.keys()).steady
    assert type(open_source({"http://a/"})) is IterableSource
    assert type(open_source(pyarrow.table({"url": ["http://a/"]}))) is ArrowSource


def test_a_length_does_not_make_an_iterable_steady() -> None:
    class Bar:
        """A progress bar round a generator."""

        def __iter__(self) -> Iterator[str]:
            yield "http://a/"

        def __len__(self) -> int:
            raise TypeError("object of type 'generator' has no len()")

    source = open_source(Bar())
    assert not source.steady
    assert source.total is None
    assert list(source) == ["http://a/"]


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        ("https://example.com/", "pass a list"),
        ({"url": "http://a/"}, "pass a list"),
        (Request("http://a/"), "pass a list"),
        ("no-such-file.txt", "no such file$"),
        ("folder/no-such-file", "no such file$"),
        ("localhost:8080/a", "no such file, and a URL begins with http:// or https://"),
        ("api.example.com/items.php", "no such file, and a URL begins"),
        ("/", "folder"),
        ("rows.xyz", "unknown input format '.xyz'"),
        (b"http://a/", "must be an iterable"),
        (3, "must be an iterable"),
        (None, "must be an iterable"),
    ],
)
def test_what_is_no_list_of_requests_is_refused(requests: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        open_source(requests)


def test_a_table_without_an_arrow_stream_is_refused() -> None:
    class OldFrame:
        columns = ("url",)

        def __iter__(self) -> Any:
            return iter(self.columns)

    with pytest.raises(ConfigError, match="Arrow stream"):
        open_source(OldFrame())


def test_a_format_is_refused_when_unknown_or_without_a_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be one of"):
        open_source(tmp_path / "a.txt", "xml")
    with pytest.raises(ConfigError, match="works with a path only"):
        open_source(["http://a/"], "text")


async def urls() -> AsyncIterator[str]:
    yield "http://a/"


def test_an_async_iterable_is_for_the_asyncio_verbs_only() -> None:
    assert type(open_async_source(urls())) is AsyncSource
    assert type(open_async_source(["http://a/"])) is IterableSource
    with pytest.raises(ConfigError, match="astream"):
        open_source(urls())


def test_lists_that_differ_in_anything_that_is_sent_have_different_fingerprints() -> None:
    url = "http://a.example/"
    lists: list[list[str | Request]] = [
        [url],
        [Request(url)],
        [Request(url, headers={"x": "1"})],
        [Request(url, headers={"x": "2"})],
        [Request(url, auth=("a", "b"))],
        [Request(url, auth=("a", "c"))],
        [Request(url, "POST", json={"a": 1})],
        [Request(url, "POST", json={"a": 2})],
        [Request(url, "POST", content=b"a")],
        [Request("http://me:one@a.example/")],
        [Request("http://me:two@a.example/")],
        [Request(url, decode_content=False)],
    ]
    found = [str(IterableSource(rows).fingerprint()) for rows in lists]
    assert len(set(found)) == len(lists)
