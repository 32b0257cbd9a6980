"""docs/options.md lists every option, docs/results.md every column: no more, no less, defaults included."""

from __future__ import annotations

import re
from ast import literal_eval
from dataclasses import fields

from hurtle import _engine
from hurtle.attempts import Retry
from hurtle.options import Options, RunOptionsDict
from tests.contracts.tree import ROOT

ALIASES = {"allow_redirects"}


def rows(page: str, heading: str = "") -> list[list[str]]:
    """Return the cells of every table row of a page, from a heading on."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    text = text[text.index(heading) :]
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_option_is_documented() -> None:
    documented = [name for row in rows("options.md") for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(documented) == sorted(RunOptionsDict.__annotations__.keys() - ALIASES)


def test_the_documented_defaults_are_the_real_ones() -> None:
    options = Options()
    names = {"timeout": "timeout_total", "retries": "retry_total", "on_oversize": "truncate_oversize"}
    shown = {
        "64 MiB": 64 << 20,
        '"auto"': "auto",
        '"host"': "host",
        '"record"': "record",
        '"error"': False,
        "None": None,
    }
    shown |= {"True": True, "False": False, "{}": (), "[]": ()}
    for cells in rows("options.md"):
        for name in re.findall(r"`(\w+)`", cells[0]):
            text = cells[1].strip("`")
            if hasattr(options, names.get(name, name)) and name not in {"headers", "params"}:
                expected = shown[text] if text in shown else float(text)
                assert getattr(options, names.get(name, name)) == expected, name


def test_every_field_of_retry_is_documented_with_its_default() -> None:
    page = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    table = page.partition("`Retry` takes, with these defaults:")[2].strip().partition("\n\n")[0]
    documented: dict[str, object] = {}
    for line in table.splitlines()[2:]:
        names, defaults = (literal_eval(f"({cell},)") for cell in _cells(line))
        values = defaults if len(names) == len(defaults) else (defaults,)
        documented |= dict(zip(names, values, strict=True))
    assert documented == {field.name: field.default for field in fields(Retry)}


def _cells(line: str) -> tuple[str, str]:
    """Return the names as a row of texts, and the defaults."""
    names, defaults = line.strip("| ").split(" | ")[:2]
    return ", ".join(repr(name.strip()) for name in names.split(",")), defaults


def test_every_column_is_documented() -> None:
    import pyarrow

    documented = [
        name for row in rows("results.md", "## The result table") for name in re.findall(r"`(\w+)`", row[0])
    ]
    assert documented == pyarrow.schema(_engine.arrow_schema()).names
