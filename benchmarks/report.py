"""Figures for people and for programs: a table on the terminal, JSON beside it, a section in RESULTS.md."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.machine import describe

FOLDER = Path(__file__).parent
OUT = FOLDER / "out"
RESULTS = FOLDER / "RESULTS.md"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, aligned in its source too; the first column is text, the others figures."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cells[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)),
        ]
        return f"| {' | '.join(padded)} |"

    rule = f"|{'-' * (widths[0] + 2)}|" + "".join(f"{'-' * (width + 1)}:|" for width in widths[1:])
    return "\n".join([line(header), rule, *(line(row) for row in rows)])


def publish(name: str, *, command: str, method: str, body: str, figures: Mapping[str, object]) -> None:
    """Print one benchmark's result, write it as JSON and append it to RESULTS.md.

    Args:
        name: The benchmark's module name.
        command: What repeats it.
        method: How it was measured, in a sentence or two.
        body: The result in Markdown.
        figures: The same for programs; values that JSON can hold.
    """
    machine = describe()
    moment = datetime.datetime.now(datetime.UTC)
    OUT.mkdir(exist_ok=True)
    document = {
        "benchmark": name,
        "at": moment.isoformat(),
        "machine": machine,
        "command": command,
        **figures,
    }
    (OUT / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    facts = ", ".join(f"{key} {value}" for key, value in machine.items())
    section = (
        f"\n## {name}, {moment:%Y-%m-%d %H:%M} UTC\n\n{body}\n\n`{command}`. {method}\n\nMachine: {facts}.\n"
    )
    with RESULTS.open("a", encoding="utf-8") as results:
        results.write(section)
    print(section)
