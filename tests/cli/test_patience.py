"""How long refused requests are retried, set on the command line and in the config file."""

from pathlib import Path

import pytest

from hurtle.cli.args import parser
from hurtle.cli.main import main
from hurtle.cli.run_options import given_options
from hurtle.options import Options


def chosen(folder: Path, text: str, *arguments: str) -> Options:
    """Return the options of `hurtle fetch` with a config file and arguments."""
    (folder / "config.toml").write_text(text)
    words = ["fetch", "urls.txt", "--config", str(folder / "config.toml"), *arguments]
    return Options.resolve(given_options(parser().parse_args(words)))


def test_patience_is_said_in_the_file_and_on_the_command_line(tmp_path: Path) -> None:
    file = "[retries]\npatience = '2h'"
    options = chosen(tmp_path, file, "--refused", "idempotent")
    assert (options.retry_patience, options.retry_refused) == (7200.0, "idempotent")
    assert chosen(tmp_path, file, "--patience", "none").retry_patience is None
    assert chosen(tmp_path, "", "--patience", "90").retry_patience == 90.0
    assert chosen(tmp_path, "", "--retries", "0").retry_patience is None
    assert chosen(tmp_path, "", "--retries", "0", "--patience", "5min").retry_patience == 300.0


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        ("", ["--patience", "soon"], "retries.patience='soon': must be seconds above 0"),
        ("", ["--patience=-1"], "retries.patience='-1': must be"),
        ("", ["--patience", "0"], "retries.patience='0': must be"),
        ("", ["--refused", "maybe"], "argument --refused: invalid choice: 'maybe'"),
        ("[retries]\npatience = 0", [], "retries.patience=0: must be"),
        ("[retries]\nrefused = 'all'", [], 'retries.refused=\'all\': must be "any" or "idempotent"'),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, arguments: list[str], words: str
) -> None:
    (tmp_path / "config.toml").write_text(text)
    out = tmp_path / "out.jsonl"
    given = ["fetch", "http://127.0.0.1:1/", "--config", str(tmp_path / "config.toml"), "-o", str(out)]
    assert main([*given, *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()
