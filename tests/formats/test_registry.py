"""The one list of formats: each is known by its name, the ends of its files' names, and their first bytes."""

from pathlib import Path

import pytest

from hurtle.formats import APART, FORMATS
from hurtle.formats.registry import EXTENSIONS, marked_format
from hurtle.outputs import databases, names

WRITTEN = sorted(FORMATS.keys() - {one.name for one in APART.values()})
"""Formats of one file."""


@pytest.mark.parametrize("name", WRITTEN)
def test_a_file_is_known_by_its_first_bytes_when_it_has_no_rows(tmp_path: Path, name: str) -> None:
    path = tmp_path / "out"
    writer = FORMATS[name].writer(str(path))
    writer.open()
    writer.close()
    head = path.read_bytes()[:4096]
    assert FORMATS[name].count(path) == FORMATS[name].stored(path).count() == 0
    # Of no requests, JSON lines are no bytes.
    assert marked_format(head) == (name if head else None)
    assert [one for one in WRITTEN if FORMATS[one].is_marked(head)] == ([name] if head else [])
    assert databases.marked_database(head) is None


def test_no_two_formats_claim_an_extension() -> None:
    claimed = [extension for name in WRITTEN for extension in FORMATS[name].extensions]
    claimed += [extension for kind in databases.DATABASES.values() for extension in kind.extensions]
    assert sorted(claimed) == sorted(names.EXTENSIONS)
    for name in WRITTEN:
        assert {EXTENSIONS[extension] for extension in FORMATS[name].extensions} == {name}


@pytest.mark.parametrize("name", sorted(APART))
def test_bodies_apart_change_nothing_of_how_rows_lie(name: str) -> None:
    apart, inner = APART[name], FORMATS[name]
    assert (apart.extensions, apart.marks, apart.stored) == (inner.extensions, inner.marks, inner.stored)
    assert FORMATS[apart.name] is apart
