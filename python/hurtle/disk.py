"""Durable files: fsynced, complete under their names, and the names fsynced, too; and the hash of a file."""

import os
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
