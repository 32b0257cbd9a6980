"""Files that last: whole under their name, fsynced, and the name fsynced too; and how one is known again."""

import os
from hashlib import file_digest
from pathlib import Path
from typing import IO


def put_in_place(file: IO[bytes], temporary: Path, final: Path) -> None:
    """Complete a file that was written under another name: it is in its place whole, or not at all.

    Args:
        file: Open; closed then.
        temporary: The name that it has, in the folder of the final one.
        final: The name that it gets. What had that name is gone.

    Raises:
        OSError: The disk failed. Which name it has then, and whether that lasts, is not known.
    """
    file.flush()
    os.fsync(file.fileno())
    file.close()
    temporary.replace(final)
    sync_folder(final.parent)


def replace_file(path: Path, data: bytes) -> None:
    """Write a small file anew: it is as it was, or whole.

    Raises:
        OSError: It could not be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        put_in_place(file, temporary, path)


def sha256_of(path: Path) -> str:
    """Return the hash of a file, as hexadecimal digits.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last through a power failure, where the system can.

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
