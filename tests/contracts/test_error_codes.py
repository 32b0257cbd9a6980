"""The error codes are one closed list: Rust, Python's exceptions and docs/errors.md name the same ones."""

from __future__ import annotations

import pickle
import re

import pytest

from hurtle import _engine, errors
from tests.contracts.tree import ENGINE, ROOT

CODES = _engine.error_codes()
DECLARED = re.compile(r'((?:\s*///.*\n)+)\s*\w+ = "([a-z0-9_.]+)", (retry|final);')
ROW = re.compile(r"^\| `([a-z0-9_.]+)` \| (.*?) \| (yes|no) \|$", re.MULTILINE)


def declared() -> dict[str, tuple[str, bool]]:
    """Return the meaning of each code and whether it is retried, as error.rs declares them."""
    source = (ENGINE / "error.rs").read_text(encoding="utf-8")
    return {
        code: (
            " ".join(line.strip().removeprefix("///").strip() for line in comment.strip().splitlines()),
            kind == "retry",
        )
        for comment, code, kind in DECLARED.findall(source)
    }


def documented() -> dict[str, tuple[str, bool]]:
    """Return the same as docs/errors.md has it."""
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    return {code: (meaning, retried == "yes") for code, meaning, retried in ROW.findall(page)}


def test_the_binary_has_the_codes_of_its_source() -> None:
    assert {code: retried for code, (_, retried) in declared().items()} == CODES


def test_the_documentation_names_every_code() -> None:
    assert documented() == declared()


def test_the_documentation_names_the_exception_of_every_class() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    headings = dict(re.findall(r"^## `(\w+)\.\*`: `(\w+)`$", page, re.MULTILINE))
    assert headings == {prefix: kind.__name__ for prefix, kind in errors.ERROR_CLASSES.items()}


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_code_becomes_an_exception_of_its_own_class(code: str) -> None:
    error = errors.error_for(code, "the detail", retryable=CODES[code])
    assert isinstance(error, errors.RequestError)
    assert type(error) is not errors.RequestError
    assert error.code == code
    assert error.retryable is CODES[code]


@pytest.mark.parametrize("code", sorted(CODES))
def test_an_error_survives_pickling(code: str) -> None:
    error = errors.error_for(code, "the detail", phase="body", retryable=True, attempts=3)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert (again.code, again.phase, again.detail, again.retryable, again.attempts) == (
        error.code,
        error.phase,
        error.detail,
        error.retryable,
        error.attempts,
    )
