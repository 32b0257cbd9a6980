"""The sink of a download."""

from os import PathLike, fspath
from pathlib import Path

from hurtle.errors import ConfigError
from hurtle.file_names import FileNames
from hurtle.formats.downloads import Downloads
from hurtle.outputs.download_folder import DownloadFolder
from hurtle.sinks.parts import PartsSink


def download_sink(folder: str | PathLike[str], names: FileNames) -> PartsSink:
    """Return the sink for a folder of downloaded files; nothing is on the disk before it begins.

    Args:
        folder: The folder; it may exist, with other files.
        names: What rows are called.

    Raises:
        ConfigError: It is not the path of a folder on this disk.
    """
    if not isinstance(folder, (str, PathLike)) or not fspath(folder):
        raise ConfigError(f"folder={folder!r}: must be the path of a folder", option="folder")
    shown = str(fspath(folder))
    path = Path(shown)
    if "://" in shown or (path.exists() and not path.is_dir()):
        raise ConfigError(f"{shown} is not a folder on this disk", option="folder")
    rows = Downloads(names)
    return PartsSink(DownloadFolder(path.resolve(), rows, shown), rows)
