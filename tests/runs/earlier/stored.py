"""Where the runs of earlier versions are, and what those versions read from them."""

import json
import shutil
from pathlib import Path
from typing import Any

import hurtle
from tests.runs.earlier.make_earlier import HERE, INPUT, unpack

VERSIONS = sorted(path.name for path in HERE.iterdir() if (path / INPUT).is_file())


def copy_of(version: str, name: str, to: Path) -> Path:
    """Copy a run with what lies beside it, and its input; return the run's path."""
    folder = HERE / version
    for path in (folder / INPUT, *folder.glob(f"{name}*")):
        if path.is_dir():
            shutil.copytree(path, to / path.name)
        elif not path.name.endswith(".rows.jsonl"):
            shutil.copy(path, to)
    unpack(to)
    return to / name


def printed_by(version: str, name: str) -> dict[int, dict[str, Any]]:
    """Return what `hurtle cat` of a version printed for its run, by position."""
    lines = (HERE / version / f"{name}.rows.jsonl").read_bytes().splitlines()
    return {row["index"]: row for row in map(json.loads, lines)}


def rows_in(out: str | Path) -> dict[int, dict[str, Any]]:
    """Return the rows of a run by position; each is there once."""
    rows = list(hurtle.open_run(out))
    assert len({row["index"] for row in rows}) == len(rows)
    return {row["index"]: row for row in rows}
