"""Bodies as files, named by what is in them: equal ones are there once, and what has a name is whole."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from errno import ELOOP
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG

from hurtle.journal import sync_folder

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
"""The extension for a content type. Nothing that a double click would run: a server chooses the type."""

STRUCTURED = {"json": ".json", "xml": ".xml"}
"""The extension for `…+json` and `…+xml`. Source: RFC 6839."""

UNKNOWN = ".bin"

NEW = ".new"
"""Where files lie until they are whole and fsynced."""

SYNC_THREADS = 8
"""A disk takes several fsyncs at once for little more than one."""

_NAME = re.compile(r"(?:.*/)?([0-9a-f]{2})/([0-9a-f]{62})\.\w+")

_EXCLUSIVE = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)  # fmt: skip


def extension_of(content_type: str | None) -> str:
    """Return the extension for a content type, whatever a server wrote there.

    Example:
        >>> extension_of("Text/HTML; charset=utf-8"), extension_of("application/x-msdownload")
        ('.html', '.bin')
    """
    essence = (content_type or "").partition(";")[0].strip().lower()
    return EXTENSIONS.get(essence) or STRUCTURED.get(essence.rpartition("+")[2], UNKNOWN)


def digest_of_name(name: str) -> bytes | None:
    """Return the SHA-256 of a body by its name, as `Bodies.put` makes it, whatever stands before.

    None: it is no such name.
    """
    found = _NAME.fullmatch(name)
    return None if found is None else bytes.fromhex(found[1] + found[2])


class Bodies:
    """A folder of bodies. What was `put` is in its place after `publish`, or gone after `drop`.

    One at a time for one folder: the lock of the run sees to that.

    Args:
        folder: The folder; made by `open`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._new: dict[str, Path] = {}
        self._folders: set[Path] = set()
        self._written = 0

    def open(self) -> None:
        """Make the folders, and remove what a crash left of files that were not whole.

        Raises:
            OSError: It cannot be written there.
        """
        for folder in (self._folder, self._folder / NEW):
            _make_folder(folder)
        for path in (self._folder / NEW).iterdir():
            path.unlink()

    def put(self, body: bytes, content_type: str | None) -> str:
        """Take a body, which may be there already.

        Returns:
            The name that it has after `publish`, relative to the folder.

        Raises:
            OSError: It could not be written.
        """
        digest = sha256(body).hexdigest()
        name = f"{digest[:2]}/{digest[2:]}{extension_of(content_type)}"
        # Also of what is there: who gave it its name may have been killed before that was fsynced.
        self._folders.add(self._folder / digest[:2])
        if name not in self._new and not _is_file_of(self._folder / name, len(body)):
            self._written += 1
            temporary = self._folder / NEW / str(self._written)
            self._new[name] = temporary
            _write_file(temporary, body)
        return name

    def publish(self) -> None:
        """Fsync what was put, and give it its names; fsync these, too, and those of what was there.

        Raises:
            OSError: It could not be written.
        """
        with ThreadPoolExecutor(SYNC_THREADS) as threads:
            for _ in threads.map(_sync_file, self._new.values()):
                pass
            for folder in self._folders:
                _make_folder(folder)
            for name in list(self._new):
                self._new.pop(name).replace(self._folder / name)
            for _ in threads.map(sync_folder, [*self._folders, self._folder, self._folder.parent]):
                pass
        self.drop()

    def drop(self) -> None:
        """Remove what was put and not published. Never raises. Idempotent."""
        for temporary in self._new.values():
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        self._new.clear()
        self._folders.clear()
        with suppress(OSError):
            (self._folder / NEW).rmdir()


def _is_file_of(path: Path, size: int) -> bool:
    """Whether a file is there and whole. Files get such names when they are: only the size is looked at."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return S_ISREG(found.st_mode) and found.st_size == size


def _make_folder(folder: Path) -> None:
    """Make a folder where there is none; never write through a link that somebody put there."""
    folder.mkdir(exist_ok=True)
    if folder.is_symlink():
        raise OSError(ELOOP, os.strerror(ELOOP), str(folder))


def _write_file(path: Path, data: bytes) -> None:
    fd = os.open(path, _EXCLUSIVE, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
    finally:
        os.close(fd)


def _sync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDWR)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
