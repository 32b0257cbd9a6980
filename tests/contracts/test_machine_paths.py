"""Nothing in the project names the machine or the people it was made on."""

from __future__ import annotations

import re
from pathlib import Path

from tests.contracts.tree import project_files, text_of

# Folders of one person or one machine. Those that every Debian has (/usr/share, /usr/sbin) may be named.
MACHINE_PATHS = re.compile(r"(?<![\w/.~-])/(?:home|root|Users|work|mnt|opt|tmp)/[\w.-]+")


def offences(text: str) -> list[str]:
    """Return the machine paths that a text names."""
    return MACHINE_PATHS.findall(text)


def test_no_file_names_a_path_of_one_machine() -> None:
    this = Path(__file__).resolve()
    texts = {path: text_of(path) for path in project_files() if path.resolve() != this}
    found = {str(path): offences(text) for path, text in texts.items() if text is not None}
    assert not {path: names for path, names in found.items() if names}


def test_a_machine_path_is_seen() -> None:
    assert offences("see /home/someone/notes and (/mnt/disk)") == ["/home/someone", "/mnt/disk"]
    assert not offences("https://example.com/home/page and /usr/share/doc, ~/home/x, a/mnt/b")
