"""The threat model names tests that exist, and what it says of the build is so."""

from __future__ import annotations

import re

import pytest

from tests.contracts.tree import ENGINE, ROOT

TEXT = (ROOT / "THREAT_MODEL.md").read_text(encoding="utf-8")
CELL = re.compile(r"^\|.*\| `([^`]+)` \|$", re.MULTILINE)
ROW = re.compile(r"^\|(?!---|\s*(?:promise|who)).*\|$", re.MULTILINE)


def missing(named: str) -> str | None:
    """Return what is missing of `path` or `path::test`; None: nothing."""
    path, _, test = named.partition("::")
    file = ROOT / path
    if not file.is_file():
        return f"there is no {path}"
    if test and not re.search(rf"\b(?:fn|def) {re.escape(test)}\(", file.read_text(encoding="utf-8")):
        return f"{path} has no {test}"
    return None


@pytest.mark.parametrize("named", CELL.findall(TEXT))
def test_a_promise_names_a_test_that_exists(named: str) -> None:
    assert missing(named) is None


def test_every_promise_names_a_test() -> None:
    promises = TEXT.partition("\n## Promises\n")[2].partition("\n## Not promised\n")[0]
    rows = ROW.findall(promises)
    assert len(rows) == len(CELL.findall(promises)) > 20


def test_a_test_that_is_gone_is_noticed() -> None:
    assert missing("tests/none.py") == "there is no tests/none.py"
    assert missing("tests/contracts/test_threat_model.py::test_none") is not None


def test_security_leads_to_the_threat_model() -> None:
    assert "(THREAT_MODEL.md)" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def test_the_engine_forbids_unsafe_code() -> None:
    assert not [
        path for path in ENGINE.rglob("*.rs") if re.search(r"\bunsafe\b *(?:\{|fn|impl)", path.read_text())
    ]


LOCKS = sorted(
    path for path in ROOT.rglob("*.lock") if path.name.startswith(("requirements-", "python", "prox"))
)
PINNED = re.compile(r"[A-Za-z0-9._-]+(?:\[[a-z,]+\])?==[0-9][A-Za-z0-9.+!]*(?:; .+)?")


def test_every_python_package_has_one_version_from_the_index() -> None:
    lists = [path for path in LOCKS if not {".venv", ".servers", ".limiters"} & set(path.parts)]
    assert len(lists) >= 5
    for path in lists:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        assert [line for line in lines if not PINNED.fullmatch(line)] == [], path.name
        names = [line.partition("==")[0].lower() for line in lines]
        assert len(set(names)) == len(names), path.name


def test_one_registry_is_the_source_of_every_crate() -> None:
    for lock in (ROOT / "Cargo.lock", ROOT / "fuzz" / "Cargo.lock"):
        sources = set(re.findall(r'^source = "(.*)"$', lock.read_text(encoding="utf-8"), re.MULTILINE))
        assert len(sources) == 1, lock
        assert all(source.startswith("registry+") for source in sources)
