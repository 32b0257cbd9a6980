"""Downloaded files under names of their own, in a folder that may have other files."""

import json
import os
import shutil
from collections.abc import Container, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hurtle.disk import sync_folder
from hurtle.file_names import FileNames, numbered
from hurtle.formats.bodies import NEW, PUBLISHED, remove_inner, sync_files, write_file

if TYPE_CHECKING:
    from hurtle._engine import Response


class NamedFiles:
    """The files of one part, of the rows that are ok. A file that was taken is in place after `publish`.

    The part is recorded after that. Until `settle` or `recover`, a file lists the new names, so that no file
    stays without a row. No other file is ever replaced.

    Args:
        folder: Where the files go.
        state: The folder of the run, on the same file system.
        part: The name of the part.
        names: What rows are called.
    """

    def __init__(self, folder: Path, state: Path, part: str, names: FileNames) -> None:
        self.folder = folder
        self._state = state
        self._part = part
        self._names = names
        self._new: dict[str, str] = {}
        self._published: list[str] = []

    def open(self) -> None:
        """Create the folder for files that are not in place yet, and remove what a crash left there.

        Raises:
            OSError: It cannot be written.
        """
        remove_inner(self._state / NEW)
        (self._state / NEW).mkdir()

    def take(self, record: Mapping[str, Any], response: "Response") -> str | None:
        """Take the body of a row, if the row is ok.

        Returns:
            The name that it has after `publish`; None: the row is not ok.

        Raises:
            OSError: The body could not be written.
        """
        if not record["ok"]:
            return None
        index = record["index"]
        disposition = next((value for key, value in _headers(record) if key == "content-disposition"), None)
        name = self._names.of(index, record["url"], disposition)
        while name in self._new or (self.folder / name).is_symlink() or (self.folder / name).exists():
            name = numbered(name, index)
        temporary = f"{self._state}/{NEW}/{len(self._new)}"
        if (file := response.body_file) is None:
            write_file(temporary, response.content)
        else:
            _place(file.path, temporary)
        self._new[name] = temporary
        return name

    def publish(self) -> None:
        """Fsync the new files and give them their names; fsync the names, too.

        Raises:
            OSError: The disk failed, or somebody else has just created a file of that name.
        """
        sync_files(self._new.values())
        if self._new:
            note = f"{self._state}/{NEW}/{PUBLISHED}"
            names = {name: os.stat(path).st_ino for name, path in self._new.items()}  # noqa: PTH116 - text
            write_file(note, json.dumps({"part": self._part, "names": names}).encode())
            sync_files([note])
            for folder in (self._state / NEW, self._state):
                sync_folder(folder)
        for name in list(self._new):
            _put_in_place(self._new[name], f"{self.folder}/{name}")
            self._published.append(name)
            del self._new[name]
        sync_folder(self.folder)

    def drop(self) -> None:
        """Remove what was taken, published or not: the part will not exist. Never raises. Idempotent."""
        with suppress(OSError):
            _remove(self.folder, self._published)
            remove_inner(self._state / NEW)
        self._published = []
        self._new.clear()


def settle(state: Path) -> None:
    """Delete the list of new names: the part that has them is recorded. Never raises."""
    with suppress(OSError):
        remove_inner(state / NEW)


def recover(folder: Path, state: Path, parts: Container[str]) -> None:
    """Remove what a crash left: incomplete files, and files of a part that was not recorded.

    Args:
        folder: Where the files are.
        state: The folder of the run.
        parts: The names of the recorded parts.

    Raises:
        OSError: A file could not be removed.
    """
    with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        note = json.loads((state / NEW / PUBLISHED).read_bytes())
        if note["part"] not in parts:
            _remove(folder, [name for name, inode in note["names"].items() if _inode(folder / name) == inode])
    remove_inner(state / NEW)


def _place(source: Path, target: str) -> None:
    """Give a file that the engine has written another name; it removes the first one itself.

    A copied row has the same file as another row, but must not change with it.
    """
    try:
        if source.stat().st_nlink == 1:
            os.link(source, target)
            return
    except FileNotFoundError:
        raise
    except OSError:  # a file system without links
        pass
    shutil.copyfile(source, target)


def _inode(path: Path) -> int | None:
    try:
        return path.lstat().st_ino
    except OSError:
        return None


def _put_in_place(temporary: str, final: str) -> None:
    """Rename a file, but never over another one."""
    try:
        os.link(temporary, final)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(final):
            raise FileExistsError(17, "File exists", final) from None
        os.rename(temporary, final)  # noqa: PTH104 - text
        return
    os.unlink(temporary)  # noqa: PTH108


def _remove(folder: Path, names: list[str]) -> None:
    for name in names:
        if os.path.basename(name) == name:  # noqa: PTH119 - no path
            (folder / name).unlink(missing_ok=True)


def _headers(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(field["name"], field["value"]) for field in record["headers"]]
