"""The engine's modules use only modules below them: every `crate::...` path is checked against the order."""

from __future__ import annotations

import graphlib
import re
from pathlib import Path

import pytest

from tests.contracts.tree import ENGINE, ROOT

# From top to bottom. A module uses modules of later lines only, never a sibling of its own line.
ORDER: tuple[frozenset[str], ...] = (
    # Only in tests and for fuzzing: it reaches for the readers of each layer.
    frozenset({"fuzzing"}),
    frozenset({"engine"}),
    # One thread of the engine. Its files call each other; the wall around the folder is a test below.
    frozenset({"shard"}),
    frozenset({"exchange"}),
    frozenset({"pool"}),
    frozenset({"connect"}),
    # Decisions and counters: they see neither connections nor sockets.
    frozenset({"job"}),
    frozenset({"politeness"}),
    frozenset({"retry"}),
    # Plain data and small tools. They may build on each other.
    frozenset({"alarm", "clock", "error", "headers", "limits"})
    | frozenset({"options", "outcome", "paged", "random", "request", "spool", "timers", "timings"}),
)
LEAVES = len(ORDER) - 1
LEVEL = {module: level for level, modules in enumerate(ORDER) for module in modules}

PATH = re.compile(r"\bcrate::(?:\{([^}]*)\}|(\w+))")
TESTS = re.compile(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*mod tests? \{.*\Z", re.DOTALL)
COMMENT = re.compile(r"//.*")


def modules_used(source: str) -> set[str]:
    """Return the top-level modules that a source file names, its inline tests and comments left out."""
    names: set[str] = set()
    for group, single in PATH.findall(COMMENT.sub("", TESTS.sub("", source))):
        names.update(part.strip().split("::")[0] for part in group.split(",")) if group else names.add(single)
    return names - {""}


def module_of(path: Path) -> str:
    """Return the top-level module that a file of the engine belongs to."""
    return path.relative_to(ENGINE).parts[0].removesuffix(".rs")


def uses() -> dict[str, set[str]]:
    """Return, by module, the other modules that it uses; lib.rs is the map and belongs to none."""
    graph: dict[str, set[str]] = {}
    for path in sorted(ENGINE.rglob("*.rs")):
        module = module_of(path)
        if module != "lib" and not path.stem.endswith("tests"):
            found = modules_used(path.read_text(encoding="utf-8")) - {module}
            graph.setdefault(module, set()).update(found)
    return graph


GRAPH = uses()


@pytest.mark.parametrize("module", sorted(GRAPH))
def test_a_module_uses_only_what_lies_below_it(module: str) -> None:
    assert module in LEVEL, f"{module} is new: give it its place in ORDER"
    for used in GRAPH[module]:
        assert used in LEVEL, f"{module} uses crate::{used}, which has no place in ORDER"
        siblings = LEVEL[used] == LEVEL[module] == LEAVES
        assert siblings or LEVEL[used] > LEVEL[module], f"{module} may not use {used}"


def test_the_leaves_form_no_circle() -> None:
    leaves = {module: GRAPH[module] for module in GRAPH if LEVEL.get(module) == LEAVES}
    assert set(graphlib.TopologicalSorter(leaves).static_order()) == set(leaves)


def test_nobody_outside_the_shard_uses_its_inside() -> None:
    face = COMMENT.sub("", (ENGINE / "shard" / "mod.rs").read_text(encoding="utf-8"))
    modules = re.findall(r"^(pub\S* )?mod (\w+);", face, re.MULTILINE)
    assert len(modules) == len(list((ENGINE / "shard").glob("*.rs"))) - 1
    assert not [name for public, name in modules if public], "private: closed to all but its folder"


def test_only_the_python_crate_knows_pyo3() -> None:
    for name in ("engine", "testserver"):
        manifest = (ROOT / "crates" / name / "Cargo.toml").read_text(encoding="utf-8")
        assert not re.search(r"^(pyo3|arrow)", manifest, re.MULTILINE)
    testserver = (ROOT / "crates" / "testserver" / "Cargo.toml").read_text(encoding="utf-8")
    assert "hurtle-engine" not in testserver


def test_the_reader_of_paths_finds_them() -> None:
    source = (
        "use crate::pool::Pool;\nuse crate::{error::Code, request};\n// crate::ignored\n"
        "fn f() { crate::job::go() }\n#[cfg(test)]\nmod tests { use crate::engine; }\n"
    )
    assert modules_used(source) == {"pool", "error", "request", "job"}
