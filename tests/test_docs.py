"""Every Python block of the documentation runs, and every `hurtle fetch` line of its shell blocks.

The conventions of the pages: `https://example.com` stands for the test server, `urls.txt` is a list of
ten URLs in the current folder, blocks of one page share their names from top to bottom, and a function named
`test_*` is called with the fixture `hurtle_server`.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hurtle.testing import Server

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STAND_IN = "https://example.com"

pytestmark = pytest.mark.slow


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """Return the line number and the text of every block in one language."""
    text = page.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, found.start(2)), found[2])
        for found in BLOCK.finditer(text)
        if found[1] == language
    ]


def pages_with(language: str) -> list[Path]:
    return [page for page in PAGES if blocks(page, language)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hurtle_server: Server) -> Path:
    """The current folder of a page, with the files that pages name."""
    urls = "".join(hurtle_server.url(f"/bytes/{size}") + "\n" for size in range(10))
    (tmp_path / "urls.txt").write_text(urls, encoding="ascii")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("page", pages_with("python"), ids=lambda page: page.name)
def test_the_python_blocks_run_from_top_to_bottom(page: Path, hurtle_server: Server) -> None:
    names: dict[str, object] = {"__name__": page.stem}
    for line, source in blocks(page, "python"):
        # Blank lines in front make a traceback point at the page's own line.
        text = "\n" * line + source.replace(STAND_IN, hurtle_server.url("").rstrip("/"))
        exec(compile(text, str(page), "exec"), names)
        for name in [name for name in names if name.startswith("test_")]:
            function = names.pop(name)
            assert callable(function)
            function(hurtle_server=hurtle_server)


@pytest.mark.parametrize("page", pages_with("console"), ids=lambda page: page.name)
def test_the_fetch_commands_run(page: Path, folder: Path) -> None:
    for _, text in blocks(page, "console"):
        for line in re.findall(r"^\$ (hurtle fetch .*)$", text, re.MULTILINE):
            command = [sys.executable, "-m", *shlex.split(line, comments=True)]
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, f"{line}: {done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert re.match(r"https?://", target) or (page.parent / target).exists(), target


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_an_example_runs_as_it_stands(example: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(example)]
    if example.name == "demo.py":
        command += ["--urls", "500", "--folder", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
