"""The journal: complete lines count, a line that was cut off does not, and damage is named."""

import errno
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from hurtle.errors import JournalError
from hurtle.outputs.journal import Journal
from hurtle.positions import Done, spans_of

ENTRIES = [{"part": f"part-{number:06}.jsonl", "done": [[number, number + 9]]} for number in range(1, 40, 10)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def written(path: Path) -> bytes:
    journal = Journal(path)
    for entry in ENTRIES:
        journal.append(entry)
    journal.close()
    return path.read_bytes()


def test_no_file_is_an_empty_journal(path: Path) -> None:
    assert list(Journal(path).read()) == []
    assert not path.exists()


def test_entries_come_back_in_order(path: Path) -> None:
    written(path)
    assert list(Journal(path).read()) == ENTRIES


def test_a_torn_last_line_was_never_there_at_every_byte(path: Path) -> None:
    whole = written(path)
    begin = whole.rfind(b"\n", 0, -1) + 1
    for end in range(begin, len(whole)):
        path.write_bytes(whole[:end])
        assert list(Journal(path).read()) == ENTRIES[:-1], f"cut at {end}"
        journal = Journal(path)
        journal.append(ENTRIES[-1])
        journal.close()
        assert path.read_bytes() == whole, f"cut at {end}"


def test_what_a_power_failure_leaves_behind_the_last_line_is_no_entry(path: Path) -> None:
    whole = written(path)
    path.write_bytes(whole + bytes(512))
    assert list(Journal(path).read()) == ENTRIES
    journal = Journal(path)
    journal.append(ENTRIES[0])
    journal.close()
    assert list(Journal(path).read()) == [*ENTRIES, ENTRIES[0]]


@pytest.mark.parametrize("damage", [b"{", b"", b"\0\0\0", b"\xff\xfe", b"[]", b"5", b"null"])
def test_a_damaged_line_is_named_when_others_follow(path: Path, damage: bytes) -> None:
    lines = written(path).split(b"\n")
    lines[1] = damage
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(JournalError, match=r"journal\.jsonl is damaged"):
        list(Journal(path).read())


@pytest.mark.parametrize("value", ["1e999", "-1", "1.5", "true", '"1"', "[" * 5_000], ids=repr)
def test_a_part_is_damaged_when_a_number_in_it_is_none(path: Path, value: str) -> None:
    for line in (
        f'{{"part":"a","rows":{value},"bytes":1,"sha256":"","done":[]}}',
        f'{{"part":"a","rows":1,"bytes":1,"sha256":"","done":[[0,{value}]]}}',
    ):
        path.write_text(line + "\n")
        with pytest.raises(JournalError, match=r"journal\.jsonl is damaged"):
            Journal(path).parts()


def test_a_journal_that_cannot_be_read_is_named(path: Path) -> None:
    path.mkdir()
    with pytest.raises(JournalError, match=r"journal\.jsonl cannot be read: "):
        list(Journal(path).read())
    with pytest.raises(JournalError, match="could not be written"):
        Journal(path).append(ENTRIES[0])


def failing(number: int) -> Callable[..., int]:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(("call", "number"), [("write", errno.ENOSPC), ("fsync", errno.EIO)])
def test_s6_nothing_follows_an_entry_that_failed(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    journal = Journal(path)
    journal.append(ENTRIES[0])
    with monkeypatch.context() as broken:
        broken.setattr(os, call, failing(number))
        with pytest.raises(JournalError, match=os.strerror(number)):
            journal.append(ENTRIES[1])
    # The disk works again, but it is unknown what the failed call left of its line.
    size = path.stat().st_size
    with pytest.raises(JournalError, match="could not be written earlier"):
        journal.append(ENTRIES[2])
    assert path.stat().st_size == size
    journal.close()


def test_a_line_of_which_a_part_was_written_is_no_entry(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path)
    journal.append(ENTRIES[0])
    write = os.write
    with monkeypatch.context() as short:
        short.setattr(os, "write", lambda fd, line: write(fd, line[:7]))
        with pytest.raises(JournalError, match="only 7 of"):
            journal.append(ENTRIES[1])
    journal.close()
    assert list(Journal(path).read()) == ENTRIES[:1]


def test_done_is_a_set_of_positions_whatever_is_added() -> None:
    random = Random(5)
    for _ in range(50):
        done, model = Done(), set[int]()
        for _ in range(random.randrange(400)):
            index = random.randrange(random.choice((8, 64, 5_000)))
            done.add(index)
            model.add(index)
        assert len(done) == len(model)
        assert list(done) == sorted(model)
        assert all((index in done) == (index in model) for index in range(-20, 5_100))
        spans = done.spans()
        assert spans == spans_of(model)
        assert sorted(Done(spans)) == sorted(model)


def test_spans_are_ascending_and_never_touch() -> None:
    random = Random(6)
    for _ in range(200):
        # The same position twice, which two copies of a row do not have: it counts once.
        indexes = [random.randrange(60) for _ in range(random.randrange(80))]
        spans = spans_of(indexes)
        assert {index for first, last in spans for index in range(first, last + 1)} == set(indexes)
        assert all(first <= last for first, last in spans)
        assert all(after[0] > before[1] + 1 for before, after in pairwise(spans))


@pytest.mark.parametrize("other", ["1", 1.5, None, (1, 1)])
def test_only_positions_are_done(other: object) -> None:
    assert other not in Done([(0, 10)])
