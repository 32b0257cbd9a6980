"""Bodies as files, named by their content: equal bodies are stored once, and a named file is complete."""

import json
import os
import re
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import suppress
from errno import ELOOP
from hashlib import sha256
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Any, TypeVar

from hurtle.disk import sync_folder

if TYPE_CHECKING:
    from hurtle._engine import Response

EXTENSIONS = {
    "text/html": ".html", "application/xhtml+xml": ".xhtml", "text/plain": ".txt", "text/css": ".css",
    "text/csv": ".csv", "text/markdown": ".md", "application/json": ".json", "application/x-ndjson": ".jsonl",
    "application/xml": ".xml", "text/xml": ".xml", "application/rss+xml": ".rss",
    "application/atom+xml": ".atom", "application/pdf": ".pdf", "application/epub+zip": ".epub",
    "application/zip": ".zip", "application/gzip": ".gz", "application/vnd.apache.parquet": ".parquet",
    "image/jpeg": ".jpg", "image/png": ".png", "image/gif": ".gif", "image/webp": ".webp",
    "image/avif": ".avif", "image/svg+xml": ".svg", "image/tiff": ".tif", "image/bmp": ".bmp",
    "audio/mpeg": ".mp3", "audio/ogg": ".ogg", "audio/wav": ".wav", "video/mp4": ".mp4",
    "video/webm": ".webm", "font/woff": ".woff", "font/woff2": ".woff2", "font/ttf": ".ttf",
}  # fmt: skip
"""The extension for a content type. None that a double click would run: the server chooses the type."""

STRUCTURED = {"json": ".json", "xml": ".xml"}
"""The extension for `…+json` and `…+xml`. Source: RFC 6839."""

UNKNOWN = ".bin"

FOLDER, SUFFIX = "bodies", ".bodies"
"""The folder of all bodies: in the folder of the run, or next to its one file, after the file's name."""

OLD = ".bodies.old"
"""The folder of a run that has the bodies of the file that it replaces, until it has done so."""

STATE = ".hurtle"
"""The folder of the run of a download, in the folder of its files."""

NEW = ".new"
"""The folder for files that are not yet complete and fsynced."""

COMING = ".coming"
"""The folder for files that the engine is writing."""

PUBLISHED = "published"
"""The file in NEW that lists the names given for a part that is not recorded yet."""

_Item = TypeVar("_Item")

SYNC_THREADS = 8
"""A disk does several fsyncs at once in little more time than one."""

_PLAIN_NAME = re.compile(r"([0-9a-f]{2})/([0-9a-f]{62})\.\w+")
_NAME = re.compile(rf"(?:.*/)?{_PLAIN_NAME.pattern}")

_OF_NEW = re.compile(rf"\d+|{PUBLISHED}")

_EXCLUSIVE = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)  # fmt: skip


def extension_of(content_type: str | None) -> str:
    """Return the extension for a content type, whatever the server sent.

    Example:
        >>> extension_of("Text/HTML; charset=utf-8"), extension_of("application/x-msdownload")
        ('.html', '.bin')
    """
    essence = (content_type or "").partition(";")[0].strip().lower()
    return EXTENSIONS.get(essence) or STRUCTURED.get(essence.rpartition("+")[2], UNKNOWN)


def digest_of_name(name: str) -> bytes | None:
    """Return the SHA-256 of a body from its name, as made by `Bodies.put`, with any path before it.

    None: it is not such a name.
    """
    found = _NAME.fullmatch(name)
    return None if found is None else bytes.fromhex(found[1] + found[2])


def name_of(digest: bytes, content_type: str | None) -> str:
    """Return the name of a body with this SHA-256, relative to the folder of all bodies."""
    text = digest.hex()
    return f"{text[:2]}/{text[2:]}{extension_of(content_type)}"


class Bodies:
    """The bodies of one part. A body that was `put` is in place after `publish`, or gone after `drop`.

    The part is recorded after that. Until `settle` or `recover`, a file lists the new names, so that no body
    stays without a row. One part at a time for each folder: the lock of the run ensures that.

    Args:
        folder: The folder of all bodies of the run; created by `open`.
        part: The name of the part.
        refers_to: What rows call the folder.
    """

    def __init__(self, folder: Path, part: str, refers_to: str = FOLDER) -> None:
        self.folder = folder
        self._part = part
        self._refers_to = refers_to
        # Text: creating a `Path` for each of thousands of names costs as much as writing the files.
        self._place = str(folder)
        self._new: dict[str, str] = {}
        self._first: list[str] = []
        self._folders: set[Path] = set()
        self._written = 0
        self._published: list[str] = []

    def open(self) -> None:
        """Create the folders, and remove incomplete files that a crash left.

        Raises:
            OSError: The folders cannot be written.
        """
        _make_folder(self.folder)
        _remove_new(self.folder)
        _make_folder(self.folder / NEW)

    def take(self, record: Mapping[str, Any], response: "Response") -> str | None:
        """Take the body of a row.

        Args:
            record: The row without its body, as in JSON.
            response: The row's response.

        Returns:
            What the row calls it; None: it has no body.

        Raises:
            OSError: The body could not be written.
        """
        # Without a response there is no body; an unchanged body is in an earlier run.
        if record["status"] is None or record.get("body_run") is not None:
            return None
        content_type = record["content_type"] if record["encoding_left"] is None else None
        file = response.body_file
        if file is None or file.sha256 is None:
            name = self.put(response.content, content_type)
        else:
            name = self.put_file(file.path, file.nbytes, file.sha256, content_type)
        return f"{self._refers_to}/{name}"

    def put(self, body: bytes, content_type: str | None) -> str:
        """Take a body, which may be stored already.

        Returns:
            The name that it has after `publish`, relative to the folder.

        Raises:
            OSError: The body could not be written.
        """
        name = name_of(sha256(body).digest(), content_type)
        if (temporary := self._temporary(name, len(body))) is not None:
            write_file(temporary, body)
        return name

    def put_file(self, path: Path, nbytes: int, digest: bytes, content_type: str | None) -> str:
        """Take a body that is in a file on the same file system; the file is renamed.

        Args:
            path: The file.
            nbytes: Its length, in bytes.
            digest: The SHA-256 of its content.
            content_type: As in `put`.

        Returns:
            As `put`.

        Raises:
            OSError: The file could not be renamed.
        """
        name = name_of(digest, content_type)
        if (temporary := self._temporary(name, nbytes)) is not None:
            path.rename(temporary)
        return name

    def _temporary(self, name: str, nbytes: int) -> str | None:
        """Return where to write a body until it gets its name; None: it is stored already."""
        # Even for an existing file: the process that named it may have been killed before the fsync.
        self._folders.add(self.folder / name[:2])
        if name in self._new:
            return None
        found = _status_of(f"{self._place}/{name}")
        # Only complete files get such names, so comparing the size is enough.
        if found is None or not S_ISREG(found.st_mode) or found.st_size != nbytes:
            self._written += 1
            self._new[name] = f"{self._place}/{NEW}/{self._written}"
            if found is None:
                self._first.append(name)
            return self._new[name]
        return None

    def publish(self) -> None:
        """Fsync the new files and give them their names; fsync the names, too, new and existing ones.

        Raises:
            OSError: The disk failed.
        """
        in_threads(_sync_file, self._new.values())
        for folder in self._folders:
            _make_folder(folder)
        self._note()
        for name in list(self._new):
            os.replace(self._new.pop(name), f"{self._place}/{name}")  # noqa: PTH105 - text, as above
        in_threads(sync_folder, [*self._folders, self.folder, self.folder.parent])

    def _note(self) -> None:
        """Record which names are about to be given, without those that an earlier row may have."""
        if self._first:
            note = f"{self._place}/{NEW}/{PUBLISHED}"
            write_file(note, json.dumps({"part": self._part, "names": self._first}).encode())
            _sync_file(note)
            for folder in (self.folder / NEW, self.folder):
                sync_folder(folder)
            self._published, self._first = self._first, []

    def drop(self) -> None:
        """Remove what was put, published or not: the part will not exist. Never raises. Idempotent."""
        with suppress(OSError):
            _remove(self.folder, self._published)
            _remove_new(self.folder)
        self._published, self._first = [], []
        self._new.clear()
        self._folders.clear()


def open_coming(folder: Path) -> Path:
    """Return the empty folder in which the engine writes bodies; created if it does not exist.

    Args:
        folder: The folder of all bodies.

    Raises:
        OSError: The folders cannot be written.
    """
    _make_folder(folder)
    close_coming(folder)
    _make_folder(folder / COMING)
    return folder / COMING


def close_coming(folder: Path) -> None:
    """Remove the folder in which the engine writes bodies, with what a crash left there.

    Raises:
        OSError: Something could not be removed.
    """
    remove_inner(folder / COMING)


def move_bodies(folder: Path, target: Path, old: Path) -> None:
    """Put a folder of bodies in its final place. Interrupted, it can be called again.

    Args:
        folder: Where the bodies are now; if it does not exist, they are in place already.
        target: Where they belong.
        old: Where to put the bodies that are there; on the same file system.

    Raises:
        OSError: They could not be moved.
    """
    if not _is_folder(folder):
        return
    close_coming(folder)
    with suppress(OSError):
        # Empty, it is that of a run that was resumed after its bodies had been moved.
        folder.rmdir()
        return
    if _is_folder(target):
        remove_bodies(old)
        target.rename(old)
    folder.rename(target)
    for parent in {folder.parent, target.parent}:
        sync_folder(parent)


def merge_bodies(folder: Path, target: Path) -> None:
    """Move bodies to those in another folder. Interrupted, it can be called again.

    Args:
        folder: Where they are now; it may not exist.
        target: Where they belong.

    Raises:
        OSError: They could not be moved.
    """
    if not _is_folder(folder):
        return
    _make_folder(target)
    for inner in filter(_is_folder, list(folder.iterdir())):
        names = [f"{inner.name}/{path.name}" for path in inner.iterdir()]
        for name in filter(_PLAIN_NAME.fullmatch, names):
            _make_folder(target / inner.name)
            (folder / name).replace(target / name)
        if _is_folder(target / inner.name):
            sync_folder(target / inner.name)
    sync_folder(target)
    remove_bodies(folder)


def settle(folder: Path) -> None:
    """Delete the list of new names: the part that has them is recorded. Never raises."""
    with suppress(OSError):
        _remove_new(folder)


def recover(folder: Path, parts: Container[str]) -> None:
    """Remove what a crash left: incomplete files, and bodies of a part that was not recorded.

    Args:
        folder: The folder of all bodies; it may not exist.
        parts: The names of the recorded parts.

    Raises:
        OSError: A file could not be removed.
    """
    if not _is_folder(folder):
        return
    # An incomplete list was not fsynced yet, so no file has its name yet.
    with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        note = json.loads((folder / NEW / PUBLISHED).read_bytes())
        if note["part"] not in parts:
            _remove(folder, note["names"])
    _remove_new(folder)
    close_coming(folder)


def remove_bodies(folder: Path) -> None:
    """Remove all bodies, and the folders that are then empty; any other files stay.

    Raises:
        OSError: A body could not be removed.
    """
    if not _is_folder(folder):
        return
    _remove_new(folder)
    close_coming(folder)
    for inner in filter(_is_folder, list(folder.iterdir())):
        _remove(folder, [f"{inner.name}/{path.name}" for path in inner.iterdir()])
        with suppress(OSError):
            inner.rmdir()
    with suppress(OSError):
        folder.rmdir()


def _remove(folder: Path, names: Iterable[str]) -> None:
    """Remove bodies, but no file with another kind of name, and none through a link."""
    for name in names:
        path = folder / name
        if _PLAIN_NAME.fullmatch(name) and _is_folder(path.parent):
            path.unlink(missing_ok=True)


def _remove_new(folder: Path) -> None:
    """Remove incomplete files and the list of new names."""
    remove_inner(folder / NEW)


def remove_inner(inner: Path) -> None:
    """Remove a folder of files that are not complete, as `Bodies` names them; any other files stay.

    Raises:
        OSError: A file could not be removed.
    """
    if _is_folder(inner.parent) and _is_folder(inner):
        for path in list(inner.iterdir()):
            if _OF_NEW.fullmatch(path.name):
                path.unlink(missing_ok=True)
        with suppress(OSError):
            inner.rmdir()


def _is_folder(path: Path) -> bool:
    """Whether it is a folder, not a link to one."""
    found = _status_of(path)
    return found is not None and S_ISDIR(found.st_mode)


def _status_of(path: str | Path) -> os.stat_result | None:
    """Return the status of a file, or of the link itself; None: there is no such file."""
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _make_folder(folder: Path) -> None:
    """Create a folder if there is none; never write through a link that somebody put there."""
    folder.mkdir(exist_ok=True)
    if folder.is_symlink():
        raise OSError(ELOOP, os.strerror(ELOOP), str(folder))


def sync_files(paths: Iterable[str]) -> None:
    """Fsync files, several at a time.

    Raises:
        OSError: The disk failed.
    """
    in_threads(_sync_file, paths)


def in_threads(call: Callable[[_Item], object], items: Iterable[_Item]) -> None:
    """Call a function with each item, on SYNC_THREADS threads."""
    # Imported here: few runs have bodies apart, and this import is slow.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(SYNC_THREADS) as threads:
        for _ in threads.map(call, items):
            pass


def write_file(path: str, data: bytes) -> None:
    """Write a new file, never through a link.

    Raises:
        OSError: The disk failed, or the file exists.
    """
    fd = os.open(path, _EXCLUSIVE, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
    finally:
        os.close(fd)


def _sync_file(path: str) -> None:
    fd = os.open(path, os.O_RDWR)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
