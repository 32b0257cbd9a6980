"""The one list of formats: each is found by its name, its extensions, and the first bytes of its files."""

import subprocess
import sys
from pathlib import Path

import pytest

from hurtle.errors import JournalError
from hurtle.formats import FORMATS
from hurtle.formats.registry import LINES, bodies_apart, extensions, format_names, marked_format
from hurtle.outputs import databases, kinds

WRITTEN = sorted(name for name, one in FORMATS.items() if one.beside is None)
"""Formats of one file."""

APART = [name for name in FORMATS if bodies_apart(name)]
"""Formats whose bodies may be apart."""


@pytest.mark.parametrize("name", WRITTEN)
def test_a_file_is_known_by_its_first_bytes_when_it_has_no_rows(tmp_path: Path, name: str) -> None:
    path = tmp_path / "out"
    writer = FORMATS[name].writer(str(path))
    writer.open()
    writer.close()
    head = path.read_bytes()[:4096]
    assert FORMATS[name].count(path) == FORMATS[name].stored(path).count() == 0
    assert FORMATS[name].is_empty_without_rows == (not head)
    assert marked_format(head) == (name if head else None)
    assert [one for one in WRITTEN if FORMATS[one].is_marked(head)] == ([name] if head else [])
    assert databases.marked_database(head) is None


@pytest.mark.parametrize("name", [name for name in WRITTEN if FORMATS[name].has_footer])
def test_a_file_that_breaks_off_is_refused_when_its_format_has_a_footer(tmp_path: Path, name: str) -> None:
    path = tmp_path / "out"
    writer = FORMATS[name].writer(str(path))
    writer.open()
    writer.close()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(JournalError, match="is damaged"):
        FORMATS[name].stored(path).count()


def test_no_two_formats_claim_an_extension() -> None:
    claimed = [extension for line in LINES for extension in line.extensions]
    claimed += [extension for kind in databases.DATABASES.values() for extension in kind.extensions]
    assert sorted(claimed) == sorted(kinds.extensions())
    for name in WRITTEN:
        assert FORMATS[name].extensions
        assert {extensions()[extension] for extension in FORMATS[name].extensions} == {name}


def test_a_format_is_known_by_one_name() -> None:
    assert list(FORMATS) == [
        "jsonl", "jsonl.gz", "jsonl.zst", "csv", "parquet", "files", "warc",
        "jsonl.gz+bodies", "jsonl.zst+bodies", "csv+bodies", "parquet+bodies",
    ]  # fmt: skip
    assert [one.name for one in FORMATS.values()] == list(FORMATS)
    assert format_names() == tuple(name for name in FORMATS if not name.endswith("+bodies"))
    for name in ("", "clay", "clay+bodies", "jsonl+bodies", "files+bodies", "warc+bodies"):
        assert name not in FORMATS


@pytest.mark.parametrize("name", APART)
def test_bodies_apart_change_nothing_of_how_rows_lie(name: str) -> None:
    apart, inner = bodies_apart(name), FORMATS[name]
    assert apart is not None
    assert (apart.extensions, apart.marks, apart.stored) == (inner.extensions, inner.marks, inner.stored)
    assert FORMATS[apart.name] is apart


LOADED = """
import sys
import hurtle.api
from hurtle.sinks import new_sink
before = {name for name in sys.modules if name.startswith("hurtle.formats.")}
new_sink(sys.argv[1])
print(*sorted(before), sep=",")
print(*sorted(name for name in sys.modules if name in sys.argv[2].split(",")), sep=",")
"""


def test_the_module_of_a_format_is_loaded_when_it_is_used(tmp_path: Path) -> None:
    homes = {line.home.partition(":")[0] for line in LINES if line.home}
    for name in ("csv", "parquet"):
        (home,) = (line.home.partition(":")[0] for line in LINES if line.name == name)
        command = [sys.executable, "-c", LOADED, str(tmp_path / f"out.{name}"), ",".join(homes)]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
        before, after = found.stdout.splitlines()
        assert not homes & set(before.split(","))
        assert after == home
