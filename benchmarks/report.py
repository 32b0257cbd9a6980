"""Figures for people and for programs: a JSON file for each case, and RESULTS.md made of all of them."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import machine, versions

FOLDER = Path(__file__).parent
OUT = FOLDER / "results"
RESULTS = FOLDER / "RESULTS.md"

Document = Mapping[str, Any]
"""One case's JSON file."""

HEAD = """\
# Results

Written by `make bench` from `benchmarks/results/*.json`; one case again: `make bench CASE=https`. Each
section says when it was measured, the last one on which machine. Processor time per request is the figure
to trust: rates on a shared machine come and go, and with real round-trip times throughput is concurrency /
latency until the processor binds.
"""

METHOD = """\
## Method

The server alone on core 0, each client in turn alone on core 1, A B C A B C; a run during which the
hypervisor took more than 2 % of the two cores, or other processes more than 5 %, is thrown away and made
again. Figures are medians (lowest-highest). A client's processor time is its user and system time after a
warm-up of one request in twenty; for wrk and h2load, which have next to no start-up, that of their whole
life. Every contestant has as many connections and checks every body's length and status; wrk and h2load
deliver no bodies and are here as references. pycurl reuses its handles and is driven by epoll; aiohttp and
pyreqwest run on uvloop with as many workers as connections.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a case came to."""

    case: str
    title: str
    command: str
    method: str
    """What is particular to this case, in a sentence or two."""
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    figures: Mapping[str, object] = field(default_factory=dict)
    """The same for programs, and what the rows were made of; values that JSON can hold."""
    quiet: bool = True
    """False: the machine was busy, and that was accepted."""


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


def write(result: Result) -> None:
    """Write one case's JSON file and print its table."""
    OUT.mkdir(exist_ok=True)
    document = {
        "case": result.case,
        "title": result.title,
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "command": result.command,
        "method": result.method,
        "quiet": result.quiet,
        "header": list(result.header),
        "rows": [list(row) for row in result.rows],
        "figures": result.figures,
    }
    text = json.dumps(document, indent=2, ensure_ascii=False)
    (OUT / f"{result.case}.json").write_text(text + "\n", encoding="utf-8")
    print(f"\n{section(document)}")


def read(order: Sequence[str], folder: Path = OUT) -> dict[str, Document]:
    """Return the JSON files that are there, by case, in this order; files of unknown cases are left out."""
    files = {case: folder / f"{case}.json" for case in order}
    return {
        case: json.loads(path.read_text(encoding="utf-8")) for case, path in files.items() if path.exists()
    }


def render(documents: Mapping[str, Document], order: Sequence[str], budgets: str) -> str:
    """Return RESULTS.md.

    Args:
        documents: The cases' JSON files, by case.
        order: Every case there is.
        budgets: The table of the budgets.
    """
    missing = [case for case in order if case not in documents]
    parts = [HEAD, f"## Budgets\n\n{budgets}\n", METHOD, *map(section, documents.values())]
    if missing:
        parts.append(f"Not measured yet: {', '.join(missing)}.\n")
    parts.append(_places(documents))
    return "\n".join(parts)


def section(document: Document) -> str:
    """Return one case's part of RESULTS.md."""
    noise = (
        ""
        if document["quiet"]
        else "**Measured on a busy machine: figures to try the benchmark, not to quote.** "
    )
    return (
        f"## {document['title']}\n\n{table(document['header'], document['rows'])}\n\n"
        f"{noise}{document['method']} `{document['command']}`, {document['at'][:10]}.\n"
    )


def _places(documents: Mapping[str, Document]) -> str:
    """Return which machines and versions the cases were measured with; one line, where they agree."""
    cases: dict[str, list[str]] = {}
    for case, document in documents.items():
        facts = [f"{name} {value}" for name, value in (document["machine"] | document["versions"]).items()]
        cases.setdefault(", ".join(facts), []).append(case)
    lines = [f"- {', '.join(names)}: {facts}." for facts, names in cases.items()]
    return "\n".join(["## Machine and versions\n", *lines, ""])
