"""A folder of bodies: their names, and what it contains after a failure at any point."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from hurtle.formats import bodies as bodies_module
from hurtle.formats.bodies import NEW, PUBLISHED, Bodies, extension_of, recover, remove_bodies, settle


def published(folder: Path, *bodies: bytes, part: str = "part") -> list[str]:
    """Publish bodies of a part that is not recorded yet, and return their names."""
    of_part = Bodies(folder, part)
    of_part.open()
    names = [of_part.put(body, "text/plain") for body in bodies]
    of_part.publish()
    return names


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


@pytest.mark.parametrize(
    ("content_type", "extension"),
    [
        ("text/html; charset=utf-8", ".html"),
        (" Application/JSON ", ".json"),
        ("application/problem+json", ".json"),
        ("application/vnd.ms+xml;x=y", ".xml"),
        ("application/x-msdownload", ".bin"),
        ("text/javascript", ".bin"),
        ("../../etc/passwd", ".bin"),
        ("x/y.exe", ".bin"),
        ("json", ".json"),
        ("", ".bin"),
        (None, ".bin"),
    ],
)
def test_an_extension_comes_from_a_list(content_type: str | None, extension: str) -> None:
    assert extension_of(content_type) == extension


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    body = b"body"
    digest = sha256(body).hexdigest()
    (tmp_path / "bodies").mkdir()
    (tmp_path / "bodies" / digest[:2]).symlink_to(elsewhere)
    bodies = Bodies(tmp_path / "bodies", "part")
    bodies.open()
    bodies.put(body, None)
    with pytest.raises(OSError, match="symbolic links"):
        bodies.publish()
    bodies.drop()
    assert list(elsewhere.iterdir()) == []


def test_what_a_crash_left_is_removed_and_what_is_not_whole_is_replaced(tmp_path: Path) -> None:
    folder, body = tmp_path / "bodies", b"whole"
    (folder / ".new").mkdir(parents=True)
    (folder / ".new" / "1").write_bytes(b"ha")
    bodies = Bodies(folder, "part")
    bodies.open()
    path = folder / bodies.put(body, "text/plain")
    path.parent.mkdir()
    path.write_bytes(b"cut")  # as a disk may leave it after a false fsync
    bodies.publish()
    assert path.read_bytes() == body
    again = Bodies(folder, "part")
    again.open()
    path.write_bytes(b"cut")
    again.put(body, "text/plain")
    again.publish()
    assert path.read_bytes() == body


def test_names_of_bodies_that_were_there_are_fsynced_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that named them may have been killed before the fsync."""
    folder, named = tmp_path / "bodies", [b"one", b"two", b"two"]
    first = Bodies(folder, "part")
    first.open()
    folders = {(folder / first.put(body, None)).parent for body in named}
    first.publish()
    synced: list[Path] = []
    monkeypatch.setattr(bodies_module, "sync_folder", synced.append)
    again = Bodies(folder, "part")
    again.open()
    for body in named:
        again.put(body, None)
    again.publish()
    assert sorted(synced) == sorted([*folders, folder, tmp_path])


def test_bodies_of_a_part_that_was_recorded_stay(tmp_path: Path) -> None:
    folder = tmp_path / "bodies"
    names = published(folder, b"one", b"two")
    recover(folder, ["part"])
    assert names_in(folder) == set(names)
    settle(folder)
    recover(folder, [])
    assert names_in(folder) == set(names)
    assert not (folder / NEW).exists()


def test_bodies_of_a_part_that_was_not_recorded_go_and_older_ones_stay(tmp_path: Path) -> None:
    folder = tmp_path / "bodies"
    (one,) = published(folder, b"one", part="first")
    settle(folder)
    published(folder, b"one", b"two", part="second")
    recover(folder, ["first"])
    assert names_in(folder) == {one}


def test_a_body_that_was_not_whole_and_is_now_stays(tmp_path: Path) -> None:
    """An earlier row may name it."""
    folder = tmp_path / "bodies"
    (one,) = published(folder, b"one", part="first")
    settle(folder)
    (folder / one).write_bytes(b"")
    published(folder, b"one", b"two", part="second")
    recover(folder, ["first"])
    assert (folder / one).read_bytes() == b"one"
    assert names_in(folder) == {one}


def test_a_part_that_is_dropped_takes_its_bodies_along(tmp_path: Path) -> None:
    folder = tmp_path / "bodies"
    dropped = Bodies(folder, "part")
    dropped.open()
    dropped.put(b"one", None)
    dropped.publish()
    dropped.drop()
    assert names_in(folder) == set()
    assert not (folder / NEW).exists()


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b'{"part": "x"}', b'{"part": "x", "names": 5}'])
def test_a_note_that_is_not_whole_says_nothing(tmp_path: Path, note: bytes) -> None:
    folder = tmp_path / "bodies"
    (one,) = published(folder, b"one")
    (folder / NEW / PUBLISHED).write_bytes(note)
    recover(folder, [])
    assert names_in(folder) == {one}


def test_files_of_others_stay(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "bodies", tmp_path / "elsewhere"
    (one,) = published(folder, b"one")
    settle(folder)
    theirs = {"notes.txt", f"{one[:2]}/mine.txt", f".new/{one[3:]}", "zz/" + "0" * 62 + ".txt"}
    linked = "00/" + "0" * 62 + ".txt"
    elsewhere.mkdir()
    for path in [*(folder / name for name in theirs), elsewhere / linked[3:]]:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")
    (folder / "00").symlink_to(elsewhere)
    note = {"part": "part", "names": [linked, "../elsewhere/" + linked[3:], *theirs]}
    (folder / NEW / PUBLISHED).write_text(json.dumps(note))
    recover(folder, [])
    remove_bodies(folder)
    assert names_in(folder) - {"00"} == theirs
    assert (elsewhere / linked[3:]).exists()
    (tmp_path / "link").symlink_to(folder)
    remove_bodies(tmp_path / "link")
    recover(tmp_path / "link", [])
    assert (tmp_path / "link" / "notes.txt").exists()


def test_nothing_is_left_of_bodies_alone(tmp_path: Path) -> None:
    published(tmp_path / "bodies", *(b"%d" % n for n in range(300)))
    remove_bodies(tmp_path / "bodies")
    assert list(tmp_path.iterdir()) == []
    remove_bodies(tmp_path / "bodies")
