"""Makes docs/faults.md from cases.txt and the names of the tests."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hurtle._engine import error_codes
from hurtle.chaos.table import CASES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
_LIST = Path(__file__).with_name("cases.txt")
_NAME = r"(?:test_)?((?:[a-z]\d{1,2}_)+(?:to_[a-z]\d{1,2}_)?)\w*"
_FUNCTION = {
    ".rs": re.compile(r"#\[(?:tokio::)?test\b[^\]]*\](?:\s*#\[[^\]]*\])*\s*(?:async )?fn " + _NAME),
    ".py": re.compile(r"^(?:async )?def (?=test_)" + _NAME, re.MULTILINE),
}
_ID = re.compile(r"([a-z])0?(\d+)_")
CODE = re.compile(r"\b[a-z]+\.[a-z0-9_]+\b")

INTRO = """\
# Faults

What servers, networks, disks and lists do wrong, and how the row of such a request ends. Whatever happens:
each row of the input gets one row, other rows are unaffected, a partial body is never `ok`, and memory stays
bounded. [Errors](errors.md) explains the codes.

`hurtle selftest` runs hurtle against a server for each case marked *selftest*, on this machine, and prints
how each ended. `hurtle serve --profile chaos` starts these servers for other clients.

*Retried* is said of the error codes: within `retries`, if the method may be repeated. `make faults` writes
this page from the names of the tests.
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """A line of the list: id in lower case, what happens, how the row ends, and why no test has it."""

    id: str
    what: str
    ends: str
    why_not: str | None


def sections() -> Iterator[tuple[str, list[Fault]]]:
    """Yield each heading with its faults."""
    title, faults = "", list[Fault]()
    for line in _LIST.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            if faults:
                yield title, faults
            title, faults = line[3:], []
        elif line and not line.startswith("#"):
            name, what, ends, *why_not = (part.strip() for part in line.split(" | "))
            faults.append(Fault(name.lower(), what, ends, why_not[0] if why_not else None))
    yield title, faults


def where_tested() -> dict[str, list[str]]:
    """Return where the tests of each fault are: files below the root, in order, and `selftest`."""
    found: dict[str, list[str]] = {case.id: ["selftest"] for case in CASES}
    files = [
        *ROOT.glob("crates/*/src/**/*.rs"),
        *ROOT.glob("crates/*/tests/**/*.rs"),
        *ROOT.glob("tests/**/*.py"),
    ]
    for path in sorted(files):
        text = path.read_text(encoding="utf-8")
        for name in _FUNCTION[path.suffix].finditer(text):
            ids = [letter + digits for letter, digits in _ID.findall(name[1])]
            if "to_" in name[1] and len(ids) == 2:
                first, last = (int(one[1:]) for one in ids)
                ids = [f"{ids[0][0]}{number}" for number in range(first, last + 1)]
            for one in ids:
                where = path.relative_to(ROOT).as_posix()
                if where not in found.setdefault(one, []):
                    found[one].append(where)
    return found


def page() -> str:
    """Return the text of docs/faults.md."""
    tests, known = where_tested(), error_codes()
    text = [INTRO]
    for title, faults in sections():
        text.append(
            f"## {title}\n\n| | what happens | how the row ends | retried | tests |\n|---|---|---|---|---|"
        )
        text += [_row(fault, tests.get(fault.id, []), known) for fault in faults]
        text.append("")
    return "\n".join(text)


def _row(fault: Fault, tests: list[str], known: dict[str, bool]) -> str:
    codes = [code for code in CODE.findall(fault.ends) if code in known]
    ends = CODE.sub(lambda code: f"`{code[0]}`" if code[0] in known else code[0], fault.ends)
    retried = ", ".join(dict.fromkeys("yes" if known[code] else "no" for code in codes))
    where = ", ".join(_link(test) for test in tests) or f"none: {fault.why_not}"
    return f"| {fault.id.upper()} | {fault.what} | {ends} | {retried} | {where} |"


def _link(test: str) -> str:
    return "*selftest*" if test == "selftest" else f"[{test.rpartition('/')[2]}](../{test})"
