"""The maps that people read say what the contracts hold: the order of the layers, wherever it is drawn."""

from __future__ import annotations

import re

from tests.contracts.test_rust_layers import ORDER
from tests.contracts.tree import ENGINE, ROOT

LEAVES_WORDS = "plain data"


def engine_layers() -> list[str]:
    """Return the layers of the engine from top to bottom, the last one by the words the maps have for it."""
    *layers, _leaves = ORDER
    assert all(len(layer) == 1 for layer in layers), (
        "two modules on one line: the maps need a way to draw that"
    )
    return [module for layer in layers for module in layer] + [LEAVES_WORDS]


def drawn(text: str) -> list[str]:
    """Return the layers of the line that a map draws, without the marks of its format."""
    return [part.strip(" `.") for part in text.split(">")]


def test_the_engine_layers_in_contributing_are_those_that_are_enforced() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^engine +(engine > .*)$", page, re.MULTILINE)
    assert drawn(line) == engine_layers()


def test_the_engine_layers_in_the_crates_own_words_are_those_that_are_enforced() -> None:
    source = (ENGINE / "lib.rs").read_text(encoding="utf-8")
    (line,) = re.findall(r"^//! (`engine` > .*)$", source, re.MULTILINE)
    assert drawn(line) == engine_layers()
