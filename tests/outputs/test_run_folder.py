"""The folder of a run: what a crash leaves there, damage, and files that hurtle did not create."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hurtle import disk
from hurtle.disk import sync_folder
from hurtle.errors import ConfigError, JournalError, SinkError
from hurtle.formats.registry import FORMATS
from hurtle.outputs import Identity, layout
from hurtle.outputs.folder import RunFolder
from hurtle.outputs.layout import DROPPED
from hurtle.testing import Server
from tests.outputs.resuming import (
    ROWS,
    broken_off,
    indexes_in,
    names_in,
    run,
    urls_of,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_parts")]


@pytest.fixture
def folder(tmp_path: Path, server: Server) -> Path:
    """An interrupted run with committed parts."""
    broken_off(urls_of(server), f"{tmp_path}/jsonl/")
    return tmp_path / "jsonl"


def committed(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_bytes().splitlines()]


def test_a_part_without_its_line_is_asked_again(folder: Path, server: Server) -> None:
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join(lines[:-1]))
    run(urls_of(server), f"{folder.parent}/jsonl/")
    assert indexes_in(str(folder)) == list(range(ROWS))


@pytest.mark.parametrize("torn", [1, 40, -1])
def test_a_torn_line_of_the_journal_is_asked_again(folder: Path, server: Server, torn: int) -> None:
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join(lines[:-1]) + lines[-1][:torn])
    run(urls_of(server), f"{folder.parent}/jsonl/")
    assert indexes_in(str(folder)) == list(range(ROWS))
    assert sum(int(str(entry["rows"])) for entry in committed(folder)) == ROWS


def lose(part: Path) -> None:
    part.unlink()


def cut(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-1])


@pytest.mark.parametrize(("damage", "words"), [(lose, "is gone"), (cut, "bytes, but the journal says")])
def test_a_part_that_is_not_as_the_journal_says_is_named(
    folder: Path, server: Server, damage: Callable[[Path], None], words: str
) -> None:
    damage(folder / "part-000002.jsonl")
    with pytest.raises(JournalError, match=rf"part-000002\.jsonl.*{words}"):
        run(urls_of(server), f"{folder.parent}/jsonl/")
    assert "lock" not in names_in(folder)


@pytest.mark.parametrize(
    "line",
    [b"{", b"{}", b"7", b'{"part":"x","bytes":1,"done":[]}', b'{"part":"part-1","bytes":1,"done":[3]}'],
)
def test_a_damaged_journal_is_named(folder: Path, server: Server, line: bytes) -> None:
    journal = folder / "journal.jsonl"
    journal.write_bytes(line + b"\n" + journal.read_bytes())
    with pytest.raises(JournalError, match=r"journal\.jsonl is damaged"):
        run(urls_of(server), f"{folder.parent}/jsonl/")


def test_a_damaged_record_is_named(folder: Path, server: Server) -> None:
    (folder / "run.json").write_bytes(b"{")
    with pytest.raises(JournalError, match=r"run\.json is damaged"):
        run(urls_of(server), f"{folder.parent}/jsonl/")


@pytest.mark.parametrize("damage", [{"options": None}, {"options": [1]}], ids=repr)
def test_a_record_with_a_damaged_value_is_named(
    folder: Path, server: Server, damage: dict[str, object]
) -> None:
    record = json.loads((folder / "run.json").read_bytes())
    (folder / "run.json").write_text(json.dumps(record | damage))
    with pytest.raises(JournalError, match=r"the record of .* is damaged"):
        run(urls_of(server), f"{folder.parent}/jsonl/")


def test_a_record_nested_without_end_is_named(folder: Path, server: Server) -> None:
    (folder / "run.json").write_text("[" * 5_000)
    with pytest.raises(JournalError, match=r"run\.json is damaged"):
        run(urls_of(server), f"{folder.parent}/jsonl/")


def test_what_a_crash_left_is_removed_and_what_somebody_put_there_stays(folder: Path, server: Server) -> None:
    for name in (".part-000009.jsonl.0123.tmp", ".run.json.tmp", "part-000099.jsonl", ".joined.tmp"):
        (folder / name).write_bytes(b"half")
    (folder / "notes.txt").write_text("mine")
    (folder / "part-of-mine").mkdir()
    run(urls_of(server), f"{folder.parent}/jsonl/")
    assert indexes_in(str(folder)) == list(range(ROWS))
    others = [name for name in names_in(folder) if not name.startswith("part-0")]
    assert others == ["journal.jsonl", "notes.txt", "part-of-mine", "run.json"]
    assert "part-000099.jsonl" not in names_in(folder)


@pytest.mark.parametrize(
    "left", [("part-000003.jsonl",), ("part-000001.jsonl", "journal.jsonl"), ("journal.jsonl",), ()]
)
def test_a_run_begins_where_a_crash_left_one_half_dropped(
    folder: Path, server: Server, left: tuple[str, ...]
) -> None:
    (folder / "run.json").rename(folder / DROPPED)
    for path in folder.iterdir():
        if path.name not in (DROPPED, *left):
            path.unlink()
    assert run(urls_of(server), f"{folder.parent}/jsonl/").resumed == 0
    assert indexes_in(str(folder)) == list(range(ROWS))
    assert DROPPED not in names_in(folder)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("name", ["run.json", DROPPED])
@pytest.mark.parametrize("content", ['{"experiment": "mine"}', "#!no json"])
def test_a_folder_with_somebodys_record_of_a_run_is_left_alone(
    tmp_path: Path, server: Server, name: str, content: str, restart: bool
) -> None:
    files = {name: content, "part-000001.csv": "mine", "ledger": "money", "journal.jsonl": "dear"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises((ConfigError, JournalError)):
        run(urls_of(server), f"{tmp_path}/", restart=restart)
    left = {name: (tmp_path / name).read_text() for name in names_in(tmp_path) if name != "lock"}
    assert left == files
    assert server.stats()["requests"] == 0


@pytest.mark.parametrize(
    "name", ["part-00000-abc.snappy.parquet", "part-000001.jsonl", "journal.jsonl", "data"]
)
def test_a_folder_of_somebodys_files_is_left_alone(tmp_path: Path, server: Server, name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    for restart in (False, True):
        with pytest.raises(ConfigError, match=f"files not created by hurtle .{name}"):
            run(urls_of(server), f"{tmp_path}/out/", restart=restart)
    assert names_in(tmp_path / "out") == [name]
    assert server.stats()["requests"] == 0


@pytest.mark.parametrize("text", [b"", b"garbage", b'{"pid": 1, "began": "0", "boot": "another"}'])
def test_a_stale_lock_does_not_stop_a_run(folder: Path, server: Server, text: bytes) -> None:
    (folder / "lock").write_bytes(text)
    assert run(urls_of(server), f"{folder.parent}/jsonl/").resumed >= 100
    assert "lock" not in names_in(folder)


@pytest.fixture
def published(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is complete, whose run was killed before it could remove its folder."""
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "remove", RunFolder.let_go)
        run(urls_of(server), tmp_path / "out.jsonl")
    assert {"run.json", "journal.jsonl", "part-000001.jsonl"} < set(names_in(tmp_path / "out.jsonl.run"))
    return tmp_path / "out.jsonl"


@pytest.mark.parametrize(
    "removed",
    [(), ("journal.jsonl",), ("journal.jsonl", "part-*")],
    ids=["nothing", "the journal", "all but run.json"],
)
def test_a_run_that_was_killed_while_it_removed_its_folder_asks_nobody_again(
    published: Path, server: Server, removed: tuple[str, ...]
) -> None:
    folder = published.with_name("out.jsonl.run")
    for path in [path for pattern in removed for path in folder.glob(pattern)]:
        path.unlink()
    before, sent = published.read_bytes(), server.stats()["requests"]
    summary = run(urls_of(server), published)
    assert (summary.requests, summary.resumed) == (0, ROWS)
    assert server.stats()["requests"] == sent
    assert published.read_bytes() == before
    assert names_in(published.parent) == ["out.jsonl"]


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_a_part_that_is_not_what_was_committed_does_not_go_into_the_file(
    tmp_path: Path, server: Server, name: str
) -> None:
    out, urls = tmp_path / name, urls_of(server)
    broken_off(urls, out)
    part = next(Path(f"{out}.run").glob("part-000001.*"))
    good = part.read_bytes()
    part.write_bytes(good[:100] + bytes([good[100] ^ 1]) + good[101:])
    with pytest.raises(JournalError, match=r"part-000001\.\w+ is damaged"):
        run(urls, out)
    assert not out.exists()
    part.write_bytes(good)
    sent = server.stats()["requests"]
    run(urls, out)
    assert server.stats()["requests"] == sent, "what had come is kept"
    assert indexes_in(str(out)) == list(range(ROWS))


def test_another_run_replaces_a_file_whose_run_was_killed_at_its_end(published: Path, server: Server) -> None:
    assert run(urls_of(server)[:50], published).resumed == 0
    assert indexes_in(str(published)) == list(range(50))
    assert names_in(published.parent) == ["out.jsonl"]


@pytest.mark.parametrize("change", [lose, cut], ids=["gone", "changed"])
def test_a_file_that_is_no_more_what_a_run_has_become_is_asked_for_again(
    published: Path, server: Server, change: Callable[[Path], None]
) -> None:
    change(published)
    folder = published.with_name("out.jsonl.run")
    for name in ("journal.jsonl", "part-000002.jsonl"):
        (folder / name).unlink()
    assert run(urls_of(server), published).resumed == 0
    assert indexes_in(str(published)) == list(range(ROWS))
    assert names_in(published.parent) == ["out.jsonl"]


def test_a_file_that_was_not_in_its_place_yet_is_made_of_what_is_committed(
    published: Path, server: Server
) -> None:
    published.unlink()
    assert run(urls_of(server), published).resumed == ROWS
    assert indexes_in(str(published)) == list(range(ROWS))
    assert names_in(published.parent) == ["out.jsonl"]


def test_a_complete_file_is_left_alone_when_an_input_that_was_the_same_is_longer(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, urls = tmp_path / "out.jsonl", urls_of(server)
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "remove", RunFolder.let_go)
        run(iter(urls[:50]), out)
    with pytest.raises(SinkError, match="is complete, but its input has more rows now"):
        run(iter(urls), out, resume=True)
    assert indexes_in(str(out)) == list(range(50))
    assert run(iter(urls[:50]), out, resume=True).resumed == 50
    assert names_in(tmp_path) == ["out.jsonl"]


def test_failures_are_known_of_a_run_that_was_killed_while_it_removed_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened() -> RunFolder:
        return RunFolder(tmp_path / "out.jsonl.run", "jsonl", "out", final=tmp_path / "out.jsonl")

    first, identity = opened(), Identity(input={"rows": 5})
    first.begin(identity, "auto")
    for indexes, failed in (([0, 1, 4], [1]), ([2, 3], [3])):
        part = first.new_part(".jsonl")
        part.write_text("{}\n" * len(indexes))
        first.commit(part, len(indexes), indexes, failed)
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "remove", RunFolder.let_go)
        first.end(FORMATS["jsonl"])
    second = opened()
    done = second.begin(identity, "auto")
    assert (list(done), done.failed) == ([0, 1, 2, 3, 4], 2)
    assert second.release(), "it was not completed"
    assert len(opened().begin(identity, "auto")) == 5


@pytest.mark.parametrize("is_there", [False, True], ids=["new", "made before a kill"])
def test_the_names_of_folders_last_through_a_power_failure(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    out = tmp_path / "a" / "b" / "out"
    if is_there:
        out.mkdir(parents=True)
    synced: list[Path] = []

    def noted(folder: Path) -> None:
        synced.append(folder)
        sync_folder(folder)

    for module in (layout, disk):
        monkeypatch.setattr(module, "sync_folder", noted)
    run(urls_of(server)[:5], f"{out}/", format="jsonl")
    before_the_record = synced[: synced.index(out)]
    assert before_the_record == ([out.parent] if is_there else [out.parent, tmp_path / "a", tmp_path])
