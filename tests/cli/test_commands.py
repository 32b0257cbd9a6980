"""`hurtle version`, `hurtle serve`, and what the parser promises."""

import contextlib
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from hurtle.cli.main import main
from hurtle.version import __version__


def test_version_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"hurtle {__version__}\n"
    assert main(["version"]) == 0
    out = capsys.readouterr().out
    assert f"hurtle {__version__}\nengine {__version__}\n" in out


def test_help_lists_what_exists_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(
        f"  {name} " in out for name in ("fetch", "retry", "cat", "race", "selftest", "serve", "version")
    )
    assert "report" not in out
    with contextlib.suppress(SystemExit):
        main(["fetch", "--help"])
    assert "--cert" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_prints_its_addresses_and_ends_with_a_signal(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "hurtle", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        words = dict(process.stdout.readline().split() for _ in range(3))
        assert set(words) == {"http", "https", "ca"}
        with urllib.request.urlopen(f"{words['http']}/bytes/7", timeout=10) as response:
            assert len(response.read()) == 7
        assert "BEGIN CERTIFICATE" in Path(words["ca"]).read_text(encoding="ascii")
        process.send_signal(number)
        assert process.wait(10) == 0
    assert not Path(words["ca"]).exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_serve_answers_with_the_robots_file(tmp_path: Path) -> None:
    rules = "User-agent: *\nDisallow: /status/\n"
    (tmp_path / "robots.txt").write_text(rules, encoding="utf-8")
    command = [sys.executable, "-m", "hurtle", "serve", "--no-tls", "--robots", str(tmp_path / "robots.txt")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        with urllib.request.urlopen(f"{url}/robots.txt", timeout=10) as response:
            assert response.read().decode() == rules
        process.terminate()
        assert process.wait(10) == 0


def test_serve_refuses_a_robots_file_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--robots", str(tmp_path / "none.txt")]) == 2
    assert "none.txt: No such file" in capsys.readouterr().err
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert main(["serve", "--robots", str(tmp_path / "binary")]) == 2
    assert "not UTF-8 text" in capsys.readouterr().err


def test_serve_refuses_what_it_cannot_do(capsys: pytest.CaptureFixture[str]) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert main(["serve", "--host", "no address"]) == 2
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert "not an IP address" in capsys.readouterr().err


def test_a_message_with_the_name_of_a_file_cannot_control_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["fetch", "no\x1b[2J\u202etxt.list"]) == 2
    said = capsys.readouterr().err
    assert "no\\x1b[2J\\u202etxt.list" in said
    assert "\x1b" not in said
    assert "\u202e" not in said
