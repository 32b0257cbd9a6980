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

from hurtle.attempts import Retry
from hurtle.cli.args import parser
from hurtle.cli.run_options import given_options
from hurtle.limits import Limits
from hurtle.options import Options
from hurtle.rates import Rate
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
    run = hurtle("fetch", "http://127.0.0.1:1/\x1b[31m\x07", "-vq", "-o", "/dev/null", "--format", "jsonl")
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
        (
            ["urls.txt", "--rate-limit-per-hots=5/s"],
            "unrecognized arguments: --rate-limit-per-hots; did you mean --rate-limit-per-host; see",
        ),
        (["urls.txt", "--max-body-size", "huge"], "max_body_size='huge': must be"),
        (["urls.txt", "--verify", "no.pem"], "there is no such file"),
        (["urls.txt", "--verify", "urls.txt"], "verify"),
        (["urls.txt", "--cert", "client.pem"], "--cert is not available in this version"),
        (["urls.txt", "--cert", "me.pem"], "--cert is not available in this version"),
        (["urls.txt", "--rate-limit", "fast"], "rate_limit='fast': must be requests per time"),
        (
            ["urls.txt", "--rate-limit-per-host", "10/fortnight"],
            "rate_limit_per_host='10/fortnight': must be",
        ),
        (
            ["urls.txt", "--concurrency-per-host", "many"],
            "concurrency_per_host='many': must be a whole number",
        ),
        (["urls.txt", "--rounds", "-1"], "retries.rounds=-1: must be"),
        (["urls.txt", "--config", "no.toml"], "--config no.toml: No such file or directory"),
        (["urls.txt", "--config", "urls.txt"], "urls.txt is not TOML: "),
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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rate_limits = 3", "unknown option 'rate_limits'; did you mean rate_limit?"),
        ("zzz = 3", "unknown option 'zzz'; the options are allow_private, auth, block_private, "),
        ("rate_limit = 'fast'", "rate_limit='fast': must be requests per time above 0, such as 50"),
        ("rate_limit = 2026-11-22", "rate_limit=datetime.date(2026, 11, 22): must be"),
        ("cert = 'client.pem'", "cert is not available in this version"),
        ("timeout = -1", "timeout=-1: must be"),
        ("[timeout]\nconect = 1", "timeout: unknown key 'conect'; allowed are total, connect, "),
        ("[retries]\nrounds = 'all'", "retries.rounds='all': must be"),
        ("[headers]\na = 1", "headers: 'a' takes text"),
        ("hosts = 3", "hosts=3: must be limits by host name"),
        (
            "[hosts.'a.b']\nrate = 1",
            "hosts[\"a.b\"]: unknown key 'rate'; allowed are rate_limit, concurrency",
        ),
        ("[hosts.'a.b']\nrate_limit = '1/fortnight'", "hosts[\"a.b\"].rate_limit='1/fortnight': must be"),
        ("[hosts.'http://a.b']", "hosts: 'http://a.b' is not a host name, it contains a scheme"),
        ("[hosts.a.example.com]\nrate_limit = 1", 'in quotes, as in [hosts."a.example.com"]'),
    ],
)
def test_a_wrong_config_file_is_one_sentence_and_status_2(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "limits.toml").write_text(text)
    run = hurtle("fetch", "http://127.0.0.1:1/", "--config", "limits.toml", folder=tmp_path)
    assert (run.returncode, run.stdout) == (2, b"")
    assert said(run).startswith("hurtle: limits.toml: ")
    assert words in said(run)
    assert said(run).count("\n") == 1


CONFIG = """
concurrency = "auto"
rate_limit_per_host = "100/min"
robots = true
dedupe = true
allow_redirects = false
user_agent = "file/1"
progress = false
verify = false
timeout = 0
[retries]
total = 4
max_retry_after = 300
[headers]
Accept = "a/b"
X-File = "1"
[cookies]
c = "file"
[params]
p = [1, 2]
q = "file"
[hosts."api.example.com"]
rate_limit = "none"
"""


def chosen(folder: Path, text: str, *arguments: str) -> Options:
    """Return what `hurtle fetch` makes of a config file and arguments."""
    (folder / "config.toml").write_text(text)
    words = ["fetch", "urls.txt", "--config", str(folder / "config.toml"), *arguments]
    return Options.resolve(given_options(parser().parse_args(words)))


def test_a_config_file_holds_options_by_their_public_names(tmp_path: Path) -> None:
    assert chosen(tmp_path, CONFIG) == Options.resolve(
        {
            "concurrency": "auto",
            "rate_limit_per_host": "100/min",
            "robots": True,
            "dedupe": True,
            "follow_redirects": False,
            "user_agent": "file/1",
            "progress": False,
            "verify": False,
            "timeout": None,
            "retries": Retry(total=4, max_retry_after=300),
            "headers": {"Accept": "a/b", "X-File": "1"},
            "cookies": {"c": "file"},
            "params": {"p": [1, 2], "q": "file"},
            "hosts": {"api.example.com": Limits(rate_limit="none")},
        }
    )
    assert chosen(tmp_path, "") == Options()


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    line = [
        "--concurrency",
        "9",
        "--rate-limit-per-host",
        "5/s",
        "--no-robots",
        "--no-dedupe",
        "-L",
        "-A",
        "me/1",
    ]
    options = chosen(tmp_path, CONFIG, *line, "--verify", __file__)
    assert (options.concurrency, options.rate_limit_per_host) == (9, Rate(5))
    assert (options.robots, options.dedupe, options.follow_redirects) == (False, False, True)
    assert options.verify == __file__
    assert ("user-agent", "me/1") in options.headers
    assert options.hosts == (("api.example.com", Limits(rate_limit="none")),)


def test_the_command_line_wins_name_by_name_within_a_group(tmp_path: Path) -> None:
    line = [
        "--rounds",
        "1",
        "--connect-timeout",
        "3",
        "--param",
        "q=line",
        "-H",
        "accept: c/d",
        "-b",
        "c=line",
    ]
    options = chosen(tmp_path, CONFIG, *line)
    assert (options.retry_total, options.retry_max_retry_after, options.retry_rounds) == (4, 300.0, 1)
    assert (options.timeout_total, options.timeout_connect) == (None, 3.0)
    assert chosen(tmp_path, "timeout = 5", "--timeout", "0").timeout_total is None
    assert options.params == "p=1&p=2&q=line"
    assert options.headers == (
        ("user-agent", "file/1"), ("X-File", "1"), ("accept", "c/d"), ("cookie", "c=line")
    )  # fmt: skip


@pytest.mark.parametrize("file", ['auth = ["file", "secret"]', '[headers]\nAuthorization = "file"'])
@pytest.mark.parametrize("line", [["-u", "u:p"], ["-H", "authorization: Basic dTpw"]])
def test_credentials_of_the_command_line_replace_those_of_the_file(
    tmp_path: Path, file: str, line: list[str]
) -> None:
    assert chosen(tmp_path, file, *line).headers[1:] == (("authorization", "Basic dTpw"),)


def test_a_config_file_is_used(tmp_path: Path, hurtle_server: Server) -> None:
    (tmp_path / "config.toml").write_text('[headers]\nx-file = "1"\n[hosts."127.0.0.1"]\nconcurrency = 1\n')
    run = hurtle("fetch", hurtle_server.url("/echo"), "-q", "--config", "config.toml", folder=tmp_path)
    assert run.returncode == 0, said(run)
    answer = json.loads(json.loads(run.stdout)["body"])
    assert dict(answer["headers"])["x-file"] == "1"


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
    (part,) = (tmp_path / "out.jsonl.run").glob("part-*")
    assert len(part.read_bytes().splitlines()) == 50


def test_s4_a_full_disk_ends_the_run_with_status_3(hurtle_server: Server) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full to write to")
    run = hurtle("fetch", *[hurtle_server.url("/bytes/9000")] * 20, "-o", "/dev/full", "--format", "jsonl")
    assert run.returncode == 3
    assert said(run).endswith("hurtle: /dev/full could not be written: No space left on device\n")
