"""The hint about requests that may have been sent: a command to copy, and no secret."""

import shlex

import pytest

from hurtle.cli.args import parser
from hurtle.cli.consent import consent_hint


@pytest.mark.parametrize(
    "out", ["out.jsonl", "runs of today/", "it's.sqlite", "postgresql://me@db.example/crawl"]
)
@pytest.mark.parametrize("listed", [None, "urls.txt", "the list.txt"])
def test_the_hint_is_a_command(out: str, listed: str | None) -> None:
    said, _, command = consent_hint(2, out, listed).partition(": hurtle ")
    assert said == "hurtle: 2 rows may have been sent already; to resend with your consent"
    given = parser().parse_args(shlex.split(command))
    assert (given.command, given.out, given.input) == ("retry", out, listed)
    assert (given.where, given.resend_unknown) == ("error = 'local.sent_unknown'", True)


def test_the_hint_holds_no_password() -> None:
    said = consent_hint(1, "postgresql://me:hush@db.example/crawl", None)
    assert "hush" not in said
    assert "hurtle: 1 row may" in said
    assert "hurtle retry OUT --where" in said


def test_the_hint_names_no_command_that_is_refused() -> None:
    said = consent_hint(1, "s3://bucket/crawl/", "urls.txt")
    assert said.endswith(" consent, fetch these requests to another output")
