"""Runs of earlier versions are read, resumed and retried: see earlier/README.md."""

import json
import os
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

import hurtle
from tests.runs.earlier import cases
from tests.runs.earlier.make_earlier import PATHS, RETRIES, RUNS, SPACE, cat, output_of
from tests.runs.earlier.stored import VERSIONS, copy_of, printed_by, rows_in

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("version", VERSIONS)]


@pytest.mark.parametrize("name", [*RUNS, *RETRIES])
def test_a_run_reads_as_the_version_read_it_that_wrote_it(tmp_path: Path, version: str, name: str) -> None:
    out = copy_of(version, name, tmp_path)
    expected = printed_by(version, name)
    printed = {row["index"]: row for row in map(json.loads, cat(out).splitlines())}
    assert printed.keys() == expected.keys()
    for index, row in expected.items():
        # Columns may be added, but none may be lost or changed.
        assert {column: printed[index][column] for column in row} == row
    stored = hurtle.open_run(output_of(name, tmp_path))
    assert rows_in(out).keys() == expected.keys()
    assert (stored.rows, stored.complete) == (len(expected), False)
    assert len(expected) == len(PATHS) if name in RETRIES else 6 < len(expected) < len(PATHS)


def test_runs_are_resumed_and_retried(version: str) -> None:
    why_not = _why_no_network()
    if why_not is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(why_not)
        pytest.skip(why_not)
    asked = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", version, cases.__file__]
    done = subprocess.run([*SPACE, *asked], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RUNS) + len(RETRIES)} passed" in done.stdout


def _why_no_network() -> str | None:
    """Return why no separate network is available here; None: it is."""
    if which(SPACE[0]) is None:
        return "unshare is not installed"
    tried = subprocess.run([*SPACE, "true"], capture_output=True, text=True, check=False)
    return f"no network of one's own here: {tried.stderr.strip()[-100:]}" if tried.returncode else None
