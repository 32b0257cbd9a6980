"""The journal notices changed bytes, lines that are doubled, gone or moved, and positions without rows."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import hurtle
from hurtle._engine import Progress
from hurtle.errors import JournalError
from hurtle.outputs.journal import Committed, Journal, sealed, unsealed
from hurtle.outputs.layout import JOURNAL
from hurtle.testing import Server

Lines = list[bytes]


def part(number: int, done: object, rows: int, failed: object = ()) -> dict[str, object]:
    return {
        "part": f"part-{number:06}.jsonl",
        "rows": rows,
        "bytes": 5,
        "sha256": "0" * 64,
        "done": done,
        "failed": failed,
    }


PARTS = [part(number, [[10 * number, 10 * number + 9]], 10) for number in range(4)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / JOURNAL


def write(path: Path, entries: Iterable[dict[str, object]]) -> bytes:
    journal = Journal(path)
    for entry in entries:
        journal.append(entry)
    journal.close()
    return path.read_bytes()


@pytest.mark.parametrize("change", [lambda byte: byte ^ 1, lambda byte: byte ^ 0x80, lambda _: 0x0A])
def test_every_changed_byte_is_noticed(path: Path, change: Callable[[int], int]) -> None:
    whole = write(path, PARTS[:2])
    # Without the last line end, the last line was cut off: it does not count.
    for at in range(len(whole) - 1):
        if change(whole[at]) == whole[at]:
            continue
        path.write_bytes(whole[:at] + bytes([change(whole[at])]) + whole[at + 1 :])
        with pytest.raises(JournalError, match="is damaged: line"):
            list(Journal(path).read())


DAMAGES: dict[str, Callable[[Lines], Lines]] = {
    "first twice": lambda lines: [lines[0], *lines],
    "last twice": lambda lines: [*lines, lines[-1]],
    "first is gone": lambda lines: lines[1:],
    "one is gone": lambda lines: [*lines[:1], *lines[2:]],
    "two change places": lambda lines: [lines[0], lines[2], lines[1], lines[3]],
    "an old line after a new one": lambda lines: [
        *lines,
        json.dumps(part(9, [[90, 90]], 1)).encode() + b"\n",
    ],
}


@pytest.mark.parametrize("name", DAMAGES)
def test_lines_that_are_doubled_gone_or_moved_are_noticed(path: Path, name: str) -> None:
    lines = write(path, PARTS).splitlines(keepends=True)
    path.write_bytes(b"".join(DAMAGES[name](lines)))
    with pytest.raises(JournalError, match=r"journal\.jsonl is damaged: line \d: "):
        Journal(path).parts()
    # Nothing is written behind damage.
    before = path.read_bytes()
    with pytest.raises(JournalError, match=r"is damaged"):
        Journal(path).append(PARTS[0])
    assert path.read_bytes() == before


def test_lines_of_older_versions_count_and_new_ones_follow(path: Path) -> None:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in PARTS[:2]))
    write(path, PARTS[2:])
    assert [part.done for part in Journal(path).parts()] == [((10 * n, 10 * n + 9),) for n in range(4)]
    lines = path.read_bytes().splitlines()
    assert [b'"sum"' in line for line in lines] == [False, False, True, True]


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        (part(1, [[0, 8]], 10), "10 rows for 9 positions"),
        (part(1, [[0, 10]], 10), "10 rows for 11 positions"),
        (part(1, [[0, 4], [4, 8]], 10), "not ascending"),
        (part(1, [[5, 9], [0, 4]], 10), "not ascending"),
        (part(1, [[9, 0]], 10), "not ascending"),
        (part(1, [[-1, 8]], 10), "not ascending"),
        (part(1, [[0, 9]], 10, failed=[[9, 10]]), "failed rows that are not among its rows"),
        (part(1, [[5, 14]], 10, failed=[[4, 4]]), "failed rows that are not among its rows"),
        (part(1, [[0, 4], [6, 10]], 10, failed=[[5, 5]]), "failed rows that are not among its rows"),
        (part(1, [[0]], 10), "is damaged"),
        (part(1, 5, 10), "is damaged"),
        ({"part": "part-000001.jsonl"}, "is damaged"),
    ],
)
def test_positions_fit_the_rows(path: Path, entry: dict[str, object], complaint: str) -> None:
    write(path, [entry])
    with pytest.raises(JournalError, match=complaint):
        Journal(path).parts()


def test_no_row_is_in_two_parts_before_a_retry(path: Path) -> None:
    write(path, [*PARTS, part(7, [[25, 44]], 20)])
    with pytest.raises(JournalError, match=r"row 25 is in part-000002\.jsonl and in part-000007\.jsonl"):
        Journal(path).parts()
    # A retry wrote the fifth part: its rows replace earlier ones.
    assert len(Journal(path).parts(first_again=4)) == 5


def test_a_checksum_covers_the_entry_and_what_is_before_it() -> None:
    text, found = sealed({"part": "a", "sum": "not ours"}, 7)
    assert unsealed(text, 7) == ({"part": "a"}, found)
    with pytest.raises(ValueError, match="does not match"):
        unsealed(text, 8)
    with pytest.raises(ValueError, match="has no checksum's form"):
        unsealed(text.replace(b'"sum":"' + b"%08x" % found, b'"sum":"zz'), 7)


def stop(progress: Progress) -> None:
    if progress.done >= 20:
        raise KeyboardInterrupt


@pytest.mark.parametrize("out", ["out.jsonl", "parts/"])
def test_a_damaged_journal_is_refused_and_stays(tmp_path: Path, hurtle_server: Server, out: str) -> None:
    urls, output = [hurtle_server.url(f"/bytes/10?{n}") for n in range(60)], f"{tmp_path}/{out}"
    with pytest.raises(KeyboardInterrupt):
        hurtle.run(urls, output, progress=stop, rate_limit_per_host="500/s")
    folder = tmp_path / ("out.jsonl.run" if out == "out.jsonl" else "parts")
    (entry,) = Journal(folder / JOURNAL).read()
    assert Committed.of(entry).rows >= 20
    whole = (folder / JOURNAL).read_bytes()
    (folder / JOURNAL).write_bytes(whole + whole)
    files = sorted(path.name for path in folder.iterdir())
    for again in (lambda: hurtle.run(urls, output), lambda: hurtle.open_run(output)):
        with pytest.raises(JournalError, match=r"journal\.jsonl is damaged: line 2"):
            again()
    assert sorted(path.name for path in folder.iterdir()) == files
    (folder / JOURNAL).write_bytes(whole)
    summary = hurtle.run(urls, output)
    assert (summary.resumed + summary.ok, summary.all_ok) == (60, True)
