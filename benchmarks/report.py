"""Figures for people and for programs: a JSON file for each case, and RESULTS.md, made from all of them."""

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

`make bench` writes this page from `benchmarks/results/*.json`; `make bench CASE=https` measures one case
again. Each section says when it was measured, and the last section names the machine. Trust the processor
time per request: rates vary on a shared machine, and with real round-trip times throughput is concurrency /
latency until the processor becomes the limit.
"""

METHOD = """\
## Method

The server runs alone on core 0. The clients take turns alone on core 1: A B C A B C. If the hypervisor
takes more than 2 % of the two cores during a run, or other processes more than 5 %, the run is discarded and
repeated. Figures are medians (lowest-highest). A client's processor time is its user and system time after a
warm-up of one request in twenty. For wrk and h2load, which have next to no start-up, it covers the whole
process. Every contestant has the same number of connections and checks the length and status of every body.
wrk and h2load deliver no bodies and serve as references. pycurl reuses its handles and is driven by epoll.
aiohttp and pyreqwest run on uvloop with as many workers as connections.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of a case."""

    case: str
    title: str
    command: str
    method: str
    """What is special about this case, in a sentence or two."""
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    figures: Mapping[str, object] = field(default_factory=dict)
    """The same for programs, and the data behind the rows; values that JSON can hold."""
    quiet: bool = True
    """False: the machine was busy, and the caller accepted that."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with aligned source; the first column is text, the others are figures."""
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
    """Return the existing JSON files by case, in this order; files of unknown cases are left out."""
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
    noise = "" if document["quiet"] else "**Measured on a busy machine: do not quote these figures.** "
    return (
        f"## {document['title']}\n\n{table(document['header'], document['rows'])}\n\n"
        f"{noise}{document['method']} `{document['command']}`, {document['at'][:10]}.\n"
    )


def _places(documents: Mapping[str, Document]) -> str:
    """Return the machines and versions that the cases were measured with; one line if they agree."""
    cases: dict[str, list[str]] = {}
    for case, document in documents.items():
        facts = [f"{name} {value}" for name, value in (document["machine"] | document["versions"]).items()]
        cases.setdefault(", ".join(facts), []).append(case)
    lines = [f"- {', '.join(names)}: {facts}." for facts, names in cases.items()]
    return "\n".join(["## Machine and versions\n", *lines, ""])
