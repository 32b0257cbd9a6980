"""The documentation tree that the corpus tests serve: real documents, as URLs and as files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

# Debian's cppreference-doc-en-html: more than four thousand pages, with names such as `operator+=.html`.
TREES = (Path("/usr/share/cppreference/doc/html"),)

TYPES = """
types {
    text/html html htm;
    text/css css;
    text/plain txt;
    application/javascript js;
    image/svg+xml svg;
    image/png png;
    image/gif gif;
}
default_type application/octet-stream;
"""


@dataclass(frozen=True, slots=True)
class Document:
    """One file of the tree."""

    path: Path
    """Its path on disk."""
    target: str
    """The path that a URL names it by: percent-encoded, with its leading slash."""


def find_tree() -> Path | None:
    """Return the root of an installed documentation tree, or None."""
    return next((tree for tree in TREES if tree.is_dir()), None)


def walk(tree: Path) -> Iterator[Document]:
    """Yield every regular file of the tree, sorted by name."""
    for path in sorted(tree.rglob("*")):
        if path.is_file():
            yield Document(path, "/" + quote(path.relative_to(tree).as_posix()))
