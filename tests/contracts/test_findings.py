"""Findings are scripts that anybody can run and read: their form is that of CONTRIBUTING.md."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.contracts.tree import ROOT

FINDINGS = ROOT / "findings"
SCRIPTS = sorted(FINDINGS.glob("*.sh"))
FIELDS = ("guess", "with", "happens", "seen")
PIN = re.compile(r"(?:==|@v?|<version>)(\d+(?:\.\w+)+)")
"""A version that a script installs, as pip, npm and go, or Maven have it."""
ADDRESS = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b")


def header_of(script: Path) -> dict[str, str]:
    """Return the fields of a script's header, in order."""
    lines = script.read_text(encoding="utf-8").splitlines()[1:]
    head = lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]
    fields: dict[str, str] = {}
    name = ""
    for line in head:
        if found := re.match(r"# (\w+): *(.*)", line):
            name = found[1]
            fields[name] = found[2]
        else:
            fields[name] += "\n" + line.removeprefix("#").strip()
    return fields


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_finding_can_be_run_and_says_what_it_is_about(script: Path) -> None:
    text, header = script.read_text(encoding="utf-8"), header_of(script)
    assert os.access(script, os.X_OK)
    assert text.startswith("#!/usr/bin/env bash\n")
    assert tuple(header) == FIELDS
    assert all(text.strip() for text in header.values())
    assert all(line.startswith("| ") for line in header["seen"].split("\n")[1:])
    assert "folder=$(mktemp -d)" in text
    assert re.search(r"^trap '.*rm -rf \"\$folder\"' EXIT$", text, re.MULTILINE)
    assert "hurtle" not in text


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_finding_names_the_versions_that_it_installs_and_stays_on_loopback(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    pins = set(PIN.findall(text))
    assert pins, "nothing is pinned"
    assert {pin for pin in pins if pin not in header_of(script)["with"]} == set()
    assert {address for address in ADDRESS.findall(text) if not address.startswith("127.")} == set()


def test_the_index_has_one_line_for_each_finding() -> None:
    index = (FINDINGS / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[(\S+)\]\(\1\) \|", index, re.MULTILINE) == [script.name for script in SCRIPTS]
    for script in SCRIPTS:
        line = next(line for line in index.splitlines() if line.startswith(f"| [{script.name}]"))
        assert line.count(" | ") == 4, "script, with, needs, guess, what happens"
