"""`hurtle plan`: the same list and options as `hurtle fetch`, and nothing sent."""

import io
import json
import sys
from pathlib import Path

import pytest

from hurtle.cli.main import main
from hurtle.testing import Server


@pytest.fixture
def listed(tmp_path: Path, hurtle_server: Server) -> str:
    """A list of ten URLs of the server and ten of another host."""
    path = tmp_path / "urls.txt"
    lines = [hurtle_server.url(f"/bytes/{n}") for n in range(10)] + [
        f"https://a.example/{n}" for n in range(10)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return str(path)


def test_a_list_is_planned_and_nothing_is_sent(
    listed: str, hurtle_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", listed, "--rate-limit-per-host", "6/min"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("20 requests to 2 hosts, at least 1 min 30 s\n")
    assert "  127.0.0.1 needs 1 min 30 s by its rate limit of 6/min, 1 other host about as long.\n" in out
    assert err == ""
    assert hurtle_server.stats()["connections"] == 0


def test_the_plan_is_one_json_object_when_asked(listed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", listed, "--format", "json", "--latency", "2", "--concurrency-per-host", "5"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["requests"], plan["latency"], plan["seconds"]) == (20, 2.0, 4.0)
    assert {host["host"] for host in plan["hosts"]} == {"127.0.0.1", "a.example"}


def test_options_come_from_a_file_too(
    listed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "hurtle.toml"
    config.write_text('[hosts."a.example"]\nrate_limit = "1/min"\n', encoding="utf-8")
    assert main(["plan", listed, "--config", str(config)]) == 0
    assert "a.example alone needs 9 min 00 s by its rate limit of 1/min" in capsys.readouterr().out


def test_the_list_may_come_from_stdin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"http://a.example/\nhttp://a.example/\n"))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["plan", "-", "--dedupe"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("1 request to 1 host,")
    assert "  duplicates   1, sent once\n" in out


def test_the_status_is_one_when_a_row_cannot_be_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "urls.txt"
    path.write_text("http://a.example/\nnonsense\n", encoding="ascii")
    assert main(["plan", str(path)]) == 1
    assert "  not sent     input.url 1\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["not/there.txt"], "no such file"),
        (["http://a.example/", "--latency", "0"], "--latency=0.0: must be seconds above 0"),
        (["http://a.example/", "--rate-limit", "fast"], "rate_limit='fast'"),
        (["http://a.example/", "-o", "out.jsonl"], "unrecognized arguments: -o;"),
    ],
)
def test_wrong_usage_is_one_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *arguments]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_what_plain_urls_become_is_what_fetch_makes_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "http://a.example/", "http://a.example/", "-d", "x=1"]) == 0
    assert "  duplicates   1, each sent\n" in capsys.readouterr().out
