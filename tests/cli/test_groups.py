"""Limits that hosts share, from the command line and from a file."""

from pathlib import Path

import pytest

from hurtle.cli.args import parser
from hurtle.cli.run_options import given_options
from hurtle.errors import ConfigError
from hurtle.limits import Limits
from hurtle.options import Options

GROUP = """
limit_by = "domain"
[hosts."a.example, *.b.example"]
shared = true
rate_limit = "10/s"
[hosts."c.example, d.example"]
concurrency = 4
"""


def chosen(folder: Path, text: str, *arguments: str) -> Options:
    """Return what a config file and arguments amount to."""
    (folder / "limits.toml").write_text(text, encoding="utf-8")
    words = ["plan", "urls.txt", "--config", str(folder / "limits.toml"), *arguments]
    return Options.resolve(given_options(parser().parse_args(words)))


def test_a_file_names_hosts_that_share_limits_and_the_command_line_wins(tmp_path: Path) -> None:
    options = chosen(tmp_path, GROUP)
    assert options == Options.resolve(
        {
            "limit_by": "domain",
            "hosts": {
                "a.example, *.b.example": Limits(shared=True, rate_limit="10/s"),
                "c.example, d.example": Limits(concurrency=4),
            },
        }
    )
    assert [name for name, _ in options.hosts] == ["a.example, *.b.example", "c.example", "d.example"]
    assert chosen(tmp_path, GROUP, "--limit-by", "ip").limit_by == "ip"
    assert chosen(tmp_path, "", "--limit-by", "domain").limit_by == "domain"
    assert chosen(tmp_path, "").limit_by == "host"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("limit_by = 'site'", 'limit_by=\'site\': must be "host", "domain" or "ip"'),
        ("[hosts.'a, b']\nshared = 'yes'", "hosts[\"a, b\"].shared='yes': must be True or False"),
        ("[hosts.'a, b']\n[hosts.'b, c']", "'b' is listed twice, as 'a, b' and as 'b, c'"),
        ("[hosts.'a']\nshared = true", "'a' is a single host"),
    ],
)
def test_a_wrong_group_in_a_file_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        chosen(tmp_path, text)
    assert words in str(caught.value)
    assert "limits.toml: " in str(caught.value)


def test_a_word_that_is_no_way_to_share_limits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--limit-by"):
        chosen(tmp_path, "", "--limit-by", "site")
