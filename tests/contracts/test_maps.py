"""The maps that people read show what is enforced: the layers, wherever they are drawn, and the folders."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from typing import Any

from tests.contracts.test_rust_layers import ORDER
from tests.contracts.tree import ENGINE, PACKAGE, ROOT

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

LEAVES_WORDS = "plain data"
"""The name in the maps for the lowest layer of the engine."""

Layers = list[frozenset[str]]
"""From top to bottom; the names of one layer may not import each other."""


def section(heading: str) -> str:
    """Return the text under a heading."""
    _, found, behind = CONTRIBUTING.partition(f"\n## {heading}\n")
    assert found, f"CONTRIBUTING has no section {heading}"
    return behind.partition("\n## ")[0]


def layers_of(lines: Iterable[str]) -> Layers:
    """Return layers that are each written as `a | b`, without the markup around them."""
    return [frozenset(name.strip(" `.\n") for name in line.split("|")) for line in lines]


def shown_layers(label: str) -> Layers:
    """Return the layers after a label, and on the lines below it that have no label."""
    found = re.search(rf"^{label} (.*(?:\n .*)*)", section("Who may import whom"), re.MULTILINE)
    assert found, f"CONTRIBUTING shows no layers of {label}"
    return layers_of(found[1].split(">"))


def contract(kind: str) -> dict[str, Any]:
    """Return the only contract of import-linter of a kind."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (found,) = [one for one in settings["tool"]["importlinter"]["contracts"] if one["type"] == kind]
    assert isinstance(found, dict)
    return found


def engine_layers() -> Layers:
    """Return the enforced layers of the engine, the last one under its name in the maps."""
    return [*ORDER[:-1], frozenset({LEAVES_WORDS})]


def test_the_python_layers_in_contributing_are_those_of_the_contract() -> None:
    layers = contract("layers")
    assert layers["exhaustive"], "a module without a place would be in no layer that is shown"
    assert shown_layers("Python") == layers_of(layers["layers"])


def test_the_ban_in_contributing_is_that_of_the_contract() -> None:
    forbidden = contract("forbidden")
    sides = (forbidden["source_modules"], forbidden["forbidden_modules"])
    assert shown_layers("never") == [
        frozenset(name.removeprefix("hurtle.") for name in names) for names in sides
    ]


def test_the_engine_layers_in_contributing_are_those_that_are_enforced() -> None:
    assert shown_layers("engine") == engine_layers()


def test_the_engine_layers_in_the_crates_own_words_are_those_that_are_enforced() -> None:
    source = (ENGINE / "lib.rs").read_text(encoding="utf-8")
    (line,) = re.findall(r"^//! (`fuzzing` > .*)$", source, re.MULTILINE)
    assert layers_of(line.split(">")) == engine_layers()


def test_the_folders_in_contributing_are_those_of_the_package() -> None:
    shown = re.findall(r"^(\w+)/ ", section("The house"), re.MULTILINE)
    there = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert sorted(shown) == sorted(there)


def test_the_reader_of_layers_finds_them() -> None:
    assert layers_of(["`a` | b ", " c\n   ", " d."]) == [{"a", "b"}, {"c"}, {"d"}]
