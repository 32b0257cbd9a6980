"""How the command says to resume a run that was interrupted."""

import pytest

from hurtle.cli.args import parser
from hurtle.cli.fetch import _again


@pytest.mark.parametrize(
    "words",
    [
        ["--since", "postgresql://me:hush@db.example/crawl"],
        ["--since=postgresql://db.example/crawl?password=hush"],
        ["--config", "https://me:hush@host.example/"],
        ["-o", "postgresql://me:hush@db.example/crawl"],
    ],
)
def test_the_hint_how_to_resume_holds_no_password(words: list[str]) -> None:
    words = ["fetch", "list.txt", "-o", "out.parquet", *words]
    given = parser().parse_args(words)
    given.words = words
    assert _again(given, ordered=True) == "the same command"
    assert _again(given, ordered=False) == "the same command with --no-ordered"


def test_the_hint_how_to_resume_is_the_command() -> None:
    words = ["fetch", "https://host.example/a", "-o", "out.parquet"]
    given = parser().parse_args(words)
    given.words = words
    command = "hurtle " + " ".join(words)
    assert _again(given, ordered=True) == command
    assert _again(given, ordered=False) == f"{command} --no-ordered"
