"""`hurtle fetch` as a shell sees it: files, exit statuses, streams, signals."""

import base64
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet
import pytest

from hurtle.testing import Server

pytestmark = pytest.mark.slow


def hurtle(
    *arguments: str | Path, stdin: bytes = b"", folder: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-X", "dev", "-m", "hurtle", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False, cwd=folder)


def said(run: subprocess.CompletedProcess[bytes]) -> str:
    return run.stderr.decode()


def test_a_list_becomes_a_parquet_file(tmp_path: Path, hurtle_server: Server) -> None:
    (tmp_path / "urls.txt").write_text("".join(f"{hurtle_server.url(f'/bytes/{n}')}\n" for n in range(200)))
    run = hurtle("fetch", "urls.txt", "-o", "out.parquet", folder=tmp_path)
    assert run.returncode == 0, said(run)
    assert run.stdout == b""
    assert said(run).startswith("200 requests in ")
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert sorted(table["bytes_body"].to_pylist()) == list(range(200))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet", "urls.txt"]


def test_rows_go_to_stdout_and_words_to_stderr(hurtle_server: Server) -> None:
    run = hurtle("fetch", "-", stdin=f"# list\n{hurtle_server.url('/bytes/3')}\n".encode())
    assert run.returncode == 0
    (line,) = run.stdout.splitlines()
    assert json.loads(line)["bytes_body"] == 3
    assert "1 request in " in said(run)
    assert "1 blank or comment line" in said(run)


def test_quiet_says_nothing(hurtle_server: Server) -> None:
    run = hurtle("fetch", hurtle_server.url("/bytes/3"), "-q")
    assert (run.returncode, run.stderr) == (0, b"")


def test_verbose_says_a_line_for_each_response(hurtle_server: Server) -> None:
    urls = [hurtle_server.url(path) for path in ("/bytes/1342", "/status/404")]
    run = hurtle(
        "fetch", *urls, "http://127.0.0.1:1/", "-v", "--retries", "0", "-o", "/dev/null", "--format", "jsonl"
    )
    assert run.returncode == 1
    assert f"Read 1342 from {urls[0]}\n" in said(run)
    assert f"from {urls[1]} (status 404)\n" in said(run)
    assert "Failed http://127.0.0.1:1/: connect.refused: " in said(run)


def test_control_characters_never_reach_the_terminal() -> None:
    run = hurtle(
        "fetch", "http://127.0.0.1:1/\x1b[31m\x07", "-v", "-q", "-o", "/dev/null", "--format", "jsonl"
    )
    assert run.returncode == 1
    assert b"\x1b" not in run.stderr
    assert b"\\x1b[31m\\x07" in run.stderr


def test_curls_letters_keep_their_meaning(hurtle_server: Server) -> None:
    url = hurtle_server.url("/echo")

    def echo(*arguments: str) -> dict[str, object]:
        run = hurtle("fetch", url, "-q", *arguments)
        assert run.returncode == 0, said(run)
        answer: dict[str, object] = json.loads(json.loads(run.stdout)["body"])
        return answer

    def headers(answer: dict[str, object]) -> dict[str, str]:
        return dict(answer["headers"])  # type: ignore[call-overload,no-any-return]

    assert echo()["method"] == "GET"
    assert echo("-X", "DELETE")["method"] == "DELETE"
    form = echo("-d", "a=1", "-d", "b=2")
    assert (form["method"], form["body"]) == ("POST", "a=1&b=2")
    assert headers(form)["content-type"] == "application/x-www-form-urlencoded"
    posted = echo("--json", '{"a": 1}', "-X", "PUT")
    assert (posted["method"], posted["body"]) == ("PUT", '{"a": 1}')
    assert headers(posted)["content-type"] == headers(posted)["accept"] == "application/json"
    sent = headers(echo("-H", "X-A: b: c", "-b", "c=d; e=f", "-A", "me/1", "-u", "user:pass"))
    assert (sent["x-a"], sent["cookie"], sent["user-agent"]) == ("b: c", "c=d; e=f", "me/1")
    assert sent["authorization"] == "Basic dXNlcjpwYXNz"
    assert echo("--param", "q=a b")["query"] == "q=a+b"


def test_what_may_be_a_secret_is_sent_as_it_was_given(hurtle_server: Server, tmp_path: Path) -> None:
    (tmp_path / "form").write_bytes(b"a=1\r\n&b=2\n")
    arguments = ["-u", "u: p ", "--param", "q= a ", "-b", "a=1; a=2;", "-d", f"@{tmp_path / 'form'}"]
    run = hurtle("fetch", hurtle_server.url("/echo"), "-q", *arguments)
    assert run.returncode == 0, said(run)
    answer = json.loads(json.loads(run.stdout)["body"])
    headers = dict(answer["headers"])
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"u: p "
    assert (answer["query"], headers["cookie"], answer["body"]) == ("q=+a+", "a=1; a=2", "a=1&b=2")


def test_ordered_writes_rows_in_input_order(hurtle_server: Server, tmp_path: Path) -> None:
    urls = [hurtle_server.url(f"/delay/{20 if n % 40 == 0 else 0}") for n in range(400)]
    (tmp_path / "urls.txt").write_text("\n".join(urls))
    run = hurtle("fetch", "urls.txt", "-q", "--ordered", folder=tmp_path)
    assert run.returncode == 0, said(run)
    assert [json.loads(line)["index"] for line in run.stdout.splitlines()] == list(range(400))


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell closes the streams")
@pytest.mark.parametrize(
    ("redirect", "words"),
    [("<&-", "stdin is closed"), (">&-", "stdout is closed")],
)
def test_a_closed_stream_is_one_sentence(hurtle_server: Server, redirect: str, words: str) -> None:
    given = "-" if redirect == "<&-" else hurtle_server.url("/bytes/1")
    command = f"{shlex.quote(sys.executable)} -m hurtle fetch {shlex.quote(given)} {redirect}"
    run = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=False)
    assert run.returncode == 2
    assert words in said(run)
    assert said(run).count("\n") == 1


def test_a_closed_stderr_leaves_stdout_to_the_data(hurtle_server: Server) -> None:
    url = shlex.quote(hurtle_server.url("/bytes/1"))
    command = f"{shlex.quote(sys.executable)} -m hurtle fetch {url} 2>&-"
    run = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, timeout=60, check=False)
    assert run.returncode == 0
    (line,) = run.stdout.splitlines()
    assert json.loads(line)["status"] == 200


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("moment", ["hurtle.cli.args", "hurtle.options", "hurtle.cli.fetch", "hurtle.sinks"])
def test_a_signal_before_the_job_is_an_interruption(
    tmp_path: Path, number: signal.Signals, status: int, moment: str
) -> None:
    # The process signals itself when it comes to import the module.
    script = f"""
import os, sys
class Signal:
    def find_spec(self, name, path=None, target=None):
        if name == {moment!r}:
            os.kill(os.getpid(), {int(number)})
sys.meta_path.insert(0, Signal())
from hurtle.cli.main import main
sys.exit(main(["fetch", "http://127.0.0.1:1/", "-o", "out.jsonl"]))
"""
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, timeout=60, check=False
    )
    assert run.returncode == status
    assert said(run) in ("hurtle: interrupted\n", "hurtle: terminated\n")
    assert list(tmp_path.iterdir()) == []


def test_tls_is_verified_unless_asked(hurtle_server: Server) -> None:
    url = hurtle_server.tls_url("/bytes/1")
    assert hurtle("fetch", url, "-q", "--retries", "0").returncode == 1
    assert hurtle("fetch", url, "-q", "-k").returncode == 0
    assert hurtle("fetch", url, "-q", "--verify", hurtle_server.ca_path).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-file.txt"], "no-such-file.txt: no such file"),
        (["urls.xyz"], "unknown input format '.xyz'"),
        (
            ["urls.txt", "-o", "no/such/out.jsonl"],
            "no/such/out.jsonl cannot be written: No such file or directory",
        ),
        (["urls.txt", "-o", "out.xml"], "out.xml: unknown output format '.xml'"),
        (["urls.txt", "-o", "."], ". is a folder"),
        (["urls.txt", "--format", "parquet"], "Parquet cannot be written to stdout"),
        (["urls.txt", "urls.csv"], "URLS takes one file"),
        (["urls.csv"], "has no column 'url'"),
        (["urls.txt", "--concurrency", "0"], "concurrency=0: must be"),
        (["urls.txt", "--max-body-size", "huge"], "max_body_size='huge': must be"),
        (["urls.txt", "--verify", "no.pem"], "there is no such file"),
        (["urls.txt", "--verify", "urls.txt"], "verify"),
        (["urls.txt", "-x", "http://127.0.0.1:1"], "-x/--proxy is not available in this version"),
        (["urls.txt", "--cert", "me.pem"], "--cert is not available in this version"),
        (["urls.txt", "--rate-limit", "5/s"], "--rate-limit is not available in this version"),
        (["urls.txt", "--rate-limit-per-host", "5"], "--rate-limit-per-host is not available"),
        (["urls.txt", "--robots"], "--robots is not available in this version"),
        (["urls.txt", "--block-private"], "--block-private is not available in this version"),
        (["urls.txt", "--threads", "100000"], "threads=100000: must be"),
        (["urls.txt", "-o", "out"], "--format"),
        (["urls.txt", "-o", "urls.txt", "--format", "jsonl"], "urls.txt is the input"),
        (["urls.txt", "-b", "a=1", "-H", "Cookie: b=2"], "give one of them"),
        (["urls.txt", "-b", "a"], "-b takes 'A=1; B=2'"),
        (["urls.txt", "--retries", "many"], "argument --retries: invalid int value"),
        (["urls.txt", "-H", "no colon"], "-H takes 'Name: value'"),
        (["urls.txt", "-d", "@no-file"], "No such file"),
    ],
)
def test_a_wrong_call_is_one_sentence_and_status_2(
    tmp_path: Path, hurtle_server: Server, arguments: list[str], words: str
) -> None:
    (tmp_path / "urls.txt").write_text(hurtle_server.url("/bytes/1") + "\n")
    (tmp_path / "urls.csv").write_text("name\nx\n")
    (tmp_path / "urls.xyz").write_text("x\n")
    before = sorted(tmp_path.iterdir())
    run = hurtle("fetch", *arguments, folder=tmp_path)
    assert run.returncode == 2
    assert said(run).startswith("hurtle: ")
    assert words in said(run)
    assert said(run).count("\n") == 1
    assert run.stdout == b""
    assert sorted(tmp_path.iterdir()) == before
    assert hurtle_server.stats()["requests"] == 0


def test_usage_errors_end_with_status_2() -> None:
    for arguments in ([], ["nonsense"], ["fetch"], ["fetch", "x", "--no-such-flag"]):
        run = hurtle(*arguments)
        assert run.returncode == 2
        assert said(run).startswith("hurtle: ")
        assert said(run).count("\n") == 1


def test_i18_an_empty_list_is_a_success(tmp_path: Path) -> None:
    run = hurtle("fetch", "-", "-o", tmp_path / "out.parquet", stdin=b"\n# nothing\n")
    assert run.returncode == 0
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").num_rows == 0


def test_s11_a_reader_that_has_had_enough_ends_the_command_quietly(
    tmp_path: Path, hurtle_server: Server
) -> None:
    listed = tmp_path / "urls.txt"
    listed.write_text(f"{hurtle_server.url('/bytes/1000')}\n" * 20_000)
    command = [sys.executable, "-m", "hurtle", "fetch", str(listed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == b""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_s1_an_interrupted_run_keeps_what_has_come(
    tmp_path: Path, hurtle_server: Server, number: signal.Signals, status: int
) -> None:
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "hurtle", "fetch", "-", "-o", str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(f"{hurtle_server.url('/bytes/1')}\n".encode() * 50)
        process.stdin.flush()  # and stays open: the command waits for more
        deadline = time.monotonic() + 30
        while hurtle_server.stats()["requests"] < 50 and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.2)
        os.kill(process.pid, number)
        assert process.wait(10) == status
        assert process.stderr is not None
        assert b"hurtle: " in process.stderr.read()
    assert len(out.read_bytes().splitlines()) == 50


def test_s4_a_full_disk_ends_the_run_with_status_3(hurtle_server: Server) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full to write to")
    run = hurtle("fetch", *[hurtle_server.url("/bytes/9000")] * 20, "-o", "/dev/full", "--format", "jsonl")
    assert run.returncode == 3
    assert said(run).endswith("hurtle: /dev/full could not be written: No space left on device\n")
