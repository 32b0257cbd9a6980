"""Bodies as files, found through the index by nothing but json and the file system."""

import json
import os
import sys
from hashlib import sha256
from pathlib import Path

import pytest

import hurtle
from hurtle.errors import ConfigError, SinkError
from hurtle.sinks import bodies as bodies_module
from hurtle.sinks.bodies import Bodies, extension_of
from hurtle.testing import Server
from tests.sinks.breaking import Found, check_killed, check_read_back, check_resumed


def rows_of(folder: Path) -> list[tuple[int, Found]]:
    rows = []
    for part in sorted(folder.glob("part-*.jsonl")):
        for row in map(json.loads, part.read_text(encoding="utf-8").splitlines()):
            assert row["body"] is None
            assert "body_base64" not in row
            body = None if row["body_path"] is None else (folder / row["body_path"]).read_bytes()
            rows.append((row["index"], Found(row["url"], row["status"], body, row["error"])))
    return rows


def bodies_in(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "bodies").rglob("*") if path.is_file())


def check_names(folder: Path) -> None:
    """Every file's name is the hash of what is in it."""
    for path in bodies_in(folder):
        assert path.parent.name + path.stem == sha256(path.read_bytes()).hexdigest()


def test_every_body_is_read_back(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out"
    check_read_back(hurtle_server, f"{out}/", lambda: rows_of(out), format="files")
    check_names(out)
    assert {path.suffix for path in bodies_in(out)} == {".bin", ".txt"}
    assert not (out / "bodies" / ".new").exists()


def test_equal_bodies_are_there_once(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out"
    hurtle.run([hurtle_server.url(f"/bytes/100?n={n}") for n in range(50)], f"{out}/", format="files")
    assert len(rows_of(out)) == 50
    assert len(bodies_in(out)) == 1


@pytest.mark.slow
def test_an_interrupted_run_is_gone_on_with(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out"
    check_resumed(hurtle_server, f"{out}/", lambda: rows_of(out), format="files")
    check_names(out)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_run_is_gone_on_with(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out"
    check_killed(hurtle_server, tmp_path, f"{out}/", lambda: rows_of(out), format="files")
    check_names(out)


def test_a_restart_uses_the_bodies_that_are_there(tmp_path: Path, hurtle_server: Server) -> None:
    out, urls = tmp_path / "out", [hurtle_server.url("/bytes/100")]
    hurtle.run(urls, f"{out}/", format="files")
    (body,) = bodies_in(out)
    before = body.stat()
    hurtle.run(urls, f"{out}/", format="files", restart=True)
    assert bodies_in(out) == [body]
    assert body.stat().st_mtime_ns == before.st_mtime_ns
    assert len(rows_of(out)) == 1


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
    bodies = Bodies(tmp_path / "bodies")
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
    bodies = Bodies(folder)
    bodies.open()
    path = folder / bodies.put(body, "text/plain")
    path.parent.mkdir()
    path.write_bytes(b"cut")  # as a disk may leave it that lied about an fsync
    bodies.publish()
    assert path.read_bytes() == body
    again = Bodies(folder)
    again.open()
    path.write_bytes(b"cut")
    again.put(body, "text/plain")
    again.publish()
    assert path.read_bytes() == body


def test_names_of_bodies_that_were_there_are_fsynced_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who gave them their names may have been killed before it fsynced these."""
    folder, named = tmp_path / "bodies", [b"one", b"two", b"two"]
    first = Bodies(folder)
    first.open()
    folders = {(folder / first.put(body, None)).parent for body in named}
    first.publish()
    synced: list[Path] = []
    monkeypatch.setattr(bodies_module, "sync_folder", synced.append)
    again = Bodies(folder)
    again.open()
    for body in named:
        again.put(body, None)
    again.publish()
    assert sorted(synced) == sorted([*folders, folder, tmp_path])


def test_bodies_are_fsynced_before_the_index_is_there(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    synced: list[int] = []
    sync_file = bodies_module._sync_file

    def noted(path: Path) -> None:
        assert not list(out.glob("part-*"))
        synced.append(path.stat().st_size)
        sync_file(path)

    monkeypatch.setattr(bodies_module, "_sync_file", noted)
    hurtle.run([hurtle_server.url(f"/bytes/{n}") for n in range(10)], f"{out}/", format="files")
    assert sorted(synced) == list(range(10))


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_stops_the_run_and_marks_nothing_done(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    out = tmp_path / "out"
    hurtle.run([], f"{out}/", format="files")  # the run's own files are there before the disk is full

    def full(*_args: object) -> int:
        raise OSError(28, "No space left on device")

    urls = [hurtle_server.url("/bytes/10")] * 3
    name = "_write_file" if call == "write" else "_sync_file"
    with monkeypatch.context() as patched:
        patched.setattr(bodies_module, name, full)
        with pytest.raises(SinkError, match="No space left on device"):
            hurtle.run(urls, f"{out}/", format="files", restart=True)
    assert rows_of(out) == []
    assert bodies_in(out) == []
    assert hurtle.run(urls, f"{out}/", format="files").resumed == 0
    assert len(rows_of(out)) == 3


def test_files_need_a_folder(tmp_path: Path) -> None:
    for out in (tmp_path / "out.jsonl", "-", os.devnull):
        with pytest.raises(ConfigError, match="written to a folder"):
            hurtle.run([], out, format="files")
