"""The hints how to send requests again: a command to copy, and no secret."""

import shlex
from pathlib import Path

import pytest

import hurtle
from hurtle.cli.args import parser
from hurtle.cli.consent import consent_hint, refused_hint
from hurtle.cli.main import main
from hurtle.testing import Server


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


def test_what_a_host_refused_to_the_end_can_be_retried_as_the_command_says(
    tmp_path: Path, hurtle_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    listed, out = tmp_path / "list.txt", tmp_path / "out.jsonl"
    url = hurtle_server.url("/limited?rate=1&per=600&key=refused")
    listed.write_text(f"{url}\n" * 12, encoding="ascii")
    words = ["fetch", str(listed), "-o", str(out), "--patience", "0.2", "--concurrency-per-host", "2"]
    assert main(words) == 1
    run = hurtle.open_run(out)
    hint = capsys.readouterr().err.splitlines()[-1]
    said, _, command = hint.partition(": hurtle ")[2].partition(" ")
    assert said == "retry"
    where = parser().parse_args(["retry", *shlex.split(command)]).where
    assert len(run.where(where)) == run.failed == 11
    unsent = len(run.where("error = 'host.throttled'"))
    assert hint.startswith(
        f"hurtle: {unsent} rows were not sent, because the host refused all others; to try"
    )
    assert refused_hint(3, "-", None) is None
