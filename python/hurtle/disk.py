"""Durable files: fsynced, complete under their names, and the names fsynced, too; and the hash of a file."""

import os
from collections.abc import Callable
from hashlib import file_digest
from pathlib import Path
from typing import IO


def put_in_place(file: IO[bytes], temporary: Path, final: Path) -> None:
    """Complete a file that was written under another name: it is in place complete, or not at all.

    Args:
        file: The open file; closed afterwards.
        temporary: Its current name, in the folder of the final one.
        final: Its new name. An existing file of that name is replaced.

    Raises:
        OSError: The disk failed. It is unknown which name the file has then, and whether that lasts.
    """
    file.flush()
    os.fsync(file.fileno())
    file.close()
    temporary.replace(final)
    sync_folder(final.parent)


def replace_file(path: Path, data: bytes) -> None:
    """Replace the content of a small file: afterwards it is unchanged, or complete.

    Raises:
        OSError: The file could not be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        put_in_place(file, temporary, path)


def save(data: bytes, path: str | os.PathLike[str]) -> None:
    """Write a file, which appears under its name when it is complete.

    Raises:
        OSError: The file could not be written.
    """
    _put_new(Path(path), lambda temporary: temporary.write_bytes(data))


def save_file(source: Path, path: str | os.PathLike[str]) -> None:
    """Give a file, which must not change any more, a second name, or copy it if the system cannot do that.

    Raises:
        OSError: The file could not be written.
    """
    _put_new(Path(path), lambda temporary: _link_or_copy(source, temporary))


def temporary_folder(parent: str) -> Path:
    """Create a folder for `leave_folder` to remove; at the latest it is removed when the process ends.

    Raises:
        OSError: It cannot be created.
    """
    from atexit import register
    from tempfile import mkdtemp

    _remove_left()
    folder, process = mkdtemp(prefix="hurtle-", dir=parent), os.getpid()
    if process not in _watched:
        _watched.add(process)
        register(_remove_all)
    _created[folder] = process
    return Path(folder)


def leave_folder(folder: Path) -> None:
    """Remove a temporary folder as soon as it is empty: now, or when there is another one. Never raises."""
    _left.add(str(folder))
    _remove_left()


_watched: set[int] = set()
"""The processes that remove their folders when they end; a forked one has the list of its parent."""
_created: dict[str, int] = {}
"""The temporary folders that are there, and the process of each."""
_left: set[str] = set()
"""Those of them in which nothing new appears."""


def _remove_left() -> None:
    for folder in list(_left):
        try:
            os.rmdir(folder)  # noqa: PTH106 - text
        except FileNotFoundError:
            pass
        except OSError:  # somebody still has a file there
            continue
        _left.discard(folder)
        _created.pop(folder, None)


def _remove_all() -> None:
    from shutil import rmtree

    for folder, process in _created.items():
        if process == os.getpid():
            rmtree(folder, ignore_errors=True)


def _link_or_copy(source: Path, target: Path) -> None:
    from shutil import copyfile

    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:
        copyfile(source, target)


def _put_new(path: Path, create: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.name[:40]}.{os.urandom(8).hex()}.tmp")
    try:
        create(temporary)
        with temporary.open("rb+") as file:
            put_in_place(file, temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sha256_of(path: Path) -> str:
    """Return the SHA-256 hash of a file, in hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power failure, if the system can.

    Raises:
        OSError: The disk failed.
    """
    if os.name != "posix":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
