"""The folder of a run on this disk: the names of its files, and which files a run may remove."""

import json
import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from hurtle.disk import sync_folder
from hurtle.errors import ConfigError
from hurtle.formats import FORMATS
from hurtle.formats.bodies import OLD, SUFFIX, remove_bodies
from hurtle.outputs.answers import ANSWERS
from hurtle.outputs.record import RUN, is_record
from hurtle.outputs.reruns import RERUNS

JOURNAL, LOCK, LEDGER = "journal.jsonl", "lock", "ledger"
DROPPED = ".run.json.dropped"
"""The name of run.json while a run is dropped: after a crash in between, it shows what the rest is."""
JOINED = ".joined.tmp"
"""The name of the one file of a run until it is put in place."""

_PART = re.compile(r"part-(\d{6,})")
_OF_A_RUN = re.compile(r"part-\d{6,}(\.\w+)+|" + "|".join(map(re.escape, (JOURNAL, RERUNS, LEDGER, ANSWERS))))


def part_name(number: int, extension: str) -> str:
    """Return the name of a part.

    Example:
        >>> part_name(1, ".csv")
        'part-000001.csv'
    """
    return f"part-{number:06}{extension}"


def last_number(names: Iterable[str]) -> int:
    """Return the highest number among parts, from their names; 0 if there are none."""
    return max((int(found[1]) for name in names if (found := _PART.match(name))), default=0)


def bodies_beside(file: Path) -> Path:
    """Return the folder for the bodies of a run that is one file."""
    return file.with_name(file.name + SUFFIX)


def bodies_in(folder: Path, format: str) -> Path | None:  # noqa: A002 - the public name
    """Return the folder for the bodies of a format; None: they are not separate files."""
    beside = FORMATS[format].beside if format in FORMATS else None
    return None if beside is None else folder / beside


def make_folder(folder: Path) -> None:
    """Create a folder, and make its name durable, with those of new folders around it.

    Raises:
        OSError: The folder could not be created.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    # Even if it exists: the process that created it may have been killed before it could do this.
    for one in missing or [folder]:
        with suppress(PermissionError):  # creating a folder may be allowed where reading is not
            sync_folder(one.parent)


def refuse_foreign_files(folder: Path, shown: str) -> None:
    """Refuse a folder that has other files and no run: nothing is written there.

    Raises:
        ConfigError: It is such a folder.
    """
    if not folder.exists() or (folder / RUN).exists() or _is_dropped(folder):
        return
    for path in folder.iterdir():
        if path.name != LOCK and not _is_temporary(path.name):
            raise ConfigError(
                f"{shown} is a folder with files not created by hurtle ({path.name}); name an empty one",
                option="out",
            )


def _is_dropped(folder: Path) -> bool:
    """Whether a crash came while a run was dropped: then the rest can be removed."""
    with suppress(OSError, ValueError):
        return is_record(json.loads((folder / DROPPED).read_bytes()))
    return False


def drop_run(folder: Path) -> None:
    """Drop the run, if there is one, or the rest of a run after a crash while it was dropped.

    Raises:
        OSError: Something could not be removed.
    """
    dropped = folder / DROPPED
    with suppress(FileNotFoundError):
        (folder / RUN).replace(dropped)
        sync_folder(folder)
    sweep(folder)
    if (bodies := bodies_in(folder, _format_in(dropped))) is not None:
        remove_bodies(bodies)
    dropped.unlink(missing_ok=True)


def _format_in(record: Path) -> str:
    """Return the format of a run that is dropped; empty if it is unknown."""
    with suppress(FileNotFoundError, ValueError, AttributeError):
        return str(json.loads(record.read_bytes()).get("format"))
    return ""


def clear_run(folder: Path) -> None:
    """Remove a run that has become its file; the record that says so is removed last.

    Raises:
        OSError: Something could not be removed.
    """
    (folder / JOURNAL).unlink(missing_ok=True)
    sweep(folder)
    remove_bodies(folder / OLD)
    sync_folder(folder)
    (folder / RUN).unlink()


def sweep(folder: Path, keep: Collection[str] = ()) -> None:
    """Remove what runs leave behind, but no files that hurtle did not create.

    Args:
        folder: The folder.
        keep: Names of files to keep.

    Raises:
        OSError: Something could not be removed.
    """
    for path in folder.iterdir():
        if path.name not in keep and (_is_temporary(path.name) or _OF_A_RUN.fullmatch(path.name)):
            path.unlink(missing_ok=True)


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")
