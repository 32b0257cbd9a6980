"""Bodies as files, named by their content: equal bodies are stored once, and a named file is complete."""

import json
import os
import re
from collections.abc import Container, Iterable
from contextlib import suppress
from errno import ELOOP
from hashlib import sha256
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from hurtle.disk import sync_folder

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

NEW = ".new"
"""The folder for files that are not yet complete and fsynced."""

PUBLISHED = "published"
"""The file in NEW that lists the names given for a part that is not recorded yet."""

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


class Bodies:
    """The bodies of one part. A body that was `put` is in place after `publish`, or gone after `drop`.

    The part is recorded after that. Until `settle` or `recover`, a file lists the new names, so that no body
    stays without a row. One part at a time for each folder: the lock of the run ensures that.

    Args:
        folder: The folder of all bodies of the run; created by `open`.
        part: The name of the part.
    """

    def __init__(self, folder: Path, part: str) -> None:
        self.folder = folder
        self._part = part
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

    def put(self, body: bytes, content_type: str | None) -> str:
        """Take a body, which may be stored already.

        Returns:
            The name that it has after `publish`, relative to the folder.

        Raises:
            OSError: The body could not be written.
        """
        digest = sha256(body).hexdigest()
        name = f"{digest[:2]}/{digest[2:]}{extension_of(content_type)}"
        # Even for an existing file: the process that named it may have been killed before the fsync.
        self._folders.add(self.folder / digest[:2])
        if name in self._new:
            return name
        found = _status_of(f"{self._place}/{name}")
        # Only complete files get such names, so comparing the size is enough.
        if found is None or not S_ISREG(found.st_mode) or found.st_size != len(body):
            self._written += 1
            temporary = f"{self._place}/{NEW}/{self._written}"
            self._new[name] = temporary
            if found is None:
                self._first.append(name)
            _write_file(temporary, body)
        return name

    def publish(self) -> None:
        """Fsync the new files and give them their names; fsync the names, too, new and existing ones.

        Raises:
            OSError: The disk failed.
        """
        # Imported here: few runs have bodies apart, and this import is slow.
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(SYNC_THREADS) as threads:
            for _ in threads.map(_sync_file, self._new.values()):
                pass
            for folder in self._folders:
                _make_folder(folder)
            self._note()
            for name in list(self._new):
                os.replace(self._new.pop(name), f"{self._place}/{name}")  # noqa: PTH105 - text, as above
            for _ in threads.map(sync_folder, [*self._folders, self.folder, self.folder.parent]):
                pass

    def _note(self) -> None:
        """Record which names are about to be given, without those that an earlier row may have."""
        if self._first:
            note = f"{self._place}/{NEW}/{PUBLISHED}"
            _write_file(note, json.dumps({"part": self._part, "names": self._first}).encode())
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


def remove_bodies(folder: Path) -> None:
    """Remove all bodies, and the folders that are then empty; any other files stay.

    Raises:
        OSError: A body could not be removed.
    """
    if not _is_folder(folder):
        return
    _remove_new(folder)
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
    new = folder / NEW
    if _is_folder(folder) and _is_folder(new):
        for path in list(new.iterdir()):
            if _OF_NEW.fullmatch(path.name):
                path.unlink()
        with suppress(OSError):
            new.rmdir()


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


def _write_file(path: str, data: bytes) -> None:
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
