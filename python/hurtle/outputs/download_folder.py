"""The folder of a download: the files, and inside it the folder of their run."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hurtle.disk import sync_folder
from hurtle.errors import ConfigError
from hurtle.formats import Format
from hurtle.formats.bodies import STATE, close_coming, open_coming
from hurtle.formats.named_files import recover, settle
from hurtle.outputs.folder import RunFolder
from hurtle.outputs.layout import DROPPED
from hurtle.outputs.record import RUN, Record
from hurtle.positions import Done


class DownloadFolder(RunFolder):
    """Begins or resumes a download, and commits its parts.

    Args:
        folder: Where the files go; it may have other files.
        format: The format of the parts.
        shown: What to call it in messages.
    """

    def __init__(self, folder: Path, format: Format, shown: str) -> None:  # noqa: A002 - the public name
        super().__init__(folder / STATE, format.name, shown)
        self._folder = folder
        self._rows_format = format

    @property
    def rows_format(self) -> Format:
        """The format of the parts."""
        return self._rows_format

    @property
    def whereabouts(self) -> str:
        """What to call it in hints."""
        return str(self._folder)

    def recover(self, record: Record) -> Done:
        """Continue the run in the folder, and remove files that a crash left uncommitted."""
        done = super().recover(record)
        recover(self._folder, self.path, [part.name for part in self.committed()])
        return done

    def drop(self) -> None:
        """Drop the run, if there is one, with its files."""
        with suppress(FileNotFoundError):
            # First: after a crash in between, the run is not resumed, and the rest of its files is removed.
            (self.path / RUN).replace(self.path / DROPPED)
            sync_folder(self.path)
        for name, size in self._files():
            path = self._folder / name
            is_ours = path.parent == self._folder and path.is_file() and not path.is_symlink()
            if is_ours and path.stat().st_size == size:
                path.unlink()
        recover(self._folder, self.path, ())
        super().drop()

    def _files(self) -> Iterator[tuple[str, int]]:
        """Yield the name and the size of each file that the rows name."""
        for part in sorted(self.path.glob("part-*")):
            with part.open("rb") as lines, suppress(ValueError, KeyError):
                for line in lines:
                    row = json.loads(line)
                    if row["body_path"] is not None:
                        yield str(row["body_path"]), int(row["bytes_body"])

    def open_bodies(self) -> Path:
        """Return the folder where the engine writes large files.

        Raises:
            ConfigError: It cannot be created.
        """
        try:
            return open_coming(self.path)
        except OSError as error:
            raise ConfigError(
                f"{self._folder} cannot be written: {error.strerror or error}", option="folder"
            ) from error

    def settle_bodies(self) -> None:
        """Keep the files of a part: it is recorded."""
        settle(self.path)

    def close_bodies(self) -> None:
        """Remove the folder where the engine writes."""
        with suppress(OSError):
            close_coming(self.path)
