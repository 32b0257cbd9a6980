"""What import-linter cannot check: who may load the extension, and that no module imports the root."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.tree import PACKAGE

MODULES = sorted(PACKAGE.rglob("*.py"))
LEAVES = {"errors", "models", "options"}
"""The extension imports these: importing it back would be a circle."""


def runtime_imports(path: Path) -> Iterator[str]:
    """Yield the full name of everything a module imports when it runs; type-checking blocks are left out."""
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        waiting.extend(ast.iter_child_nodes(node))


def module_name(path: Path) -> str:
    """Return the dotted name below the package; the root itself is the empty name."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


def submodules() -> set[str]:
    """Return the names that `from hurtle import NAME` may mean a module by."""
    return {"_engine"} | {path.stem for path in PACKAGE.iterdir()}


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_no_module_imports_the_package_root(path: Path) -> None:
    names = [name for name in runtime_imports(path) if name.split(".")[0] == "hurtle"]
    assert "hurtle" not in names
    assert {name.split(".")[1] for name in names} <= submodules()


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_a_leaf_does_not_load_the_extension(name: str) -> None:
    paths = [path for path in MODULES if module_name(path).split(".")[0] == name]
    assert paths, f"{name} is gone: update the list of leaves"
    for path in paths:
        assert not [found for found in runtime_imports(path) if found.startswith("hurtle._engine")]


def test_the_reader_of_imports_finds_them(tmp_path: Path) -> None:
    source = "if TYPE_CHECKING:\n    import a\nelse:\n    import b\ndef f():\n    from hurtle import c\n"
    (tmp_path / "m.py").write_text(source, encoding="utf-8")
    assert sorted(runtime_imports(tmp_path / "m.py")) == ["b", "hurtle.c"]
