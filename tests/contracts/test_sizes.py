"""No file grows beyond what one can read at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contracts.tree import PACKAGE, ROOT, project_files

MOST_LINES = 450
RUST_TESTS = re.compile(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*mod tests? \{.*\Z", re.DOTALL)

SOURCES = [path for path in project_files() if path.suffix in {".rs", ".py"} and "tests" not in path.stem]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_stays_short(path: Path) -> None:
    lines = RUST_TESTS.sub("", path.read_text(encoding="utf-8")).count("\n")
    assert lines <= MOST_LINES, "split it by role, or move its tests out"


def test_the_package_root_defines_nothing() -> None:
    source = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    assert source.count("\n") <= 60
    assert not re.search(r"^class ", source, re.MULTILINE)
