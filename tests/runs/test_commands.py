"""`hurtle cat` and `hurtle retry` as a shell sees them."""

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.ipc
import pytest

import hurtle
from hurtle.testing import Server
from tests.runs.conftest import FAILING, OUTPUTS, ROWS, MakeRun

pytestmark = pytest.mark.slow


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-X", "dev", "-m", "hurtle", *map(str, words)]


def called(*words: str | Path, status: int = 0) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(command(*words), capture_output=True, timeout=60, check=False)
    assert done.returncode == status, done.stderr.decode()
    return done


@pytest.mark.parametrize("name", OUTPUTS)
def test_cat_writes_the_newest_rows(make_run: MakeRun, name: str) -> None:
    out = make_run(name)
    hurtle.retry(out, where='"index" = 3')
    lines = [json.loads(line) for line in called("cat", out).stdout.splitlines()]
    assert sorted(line["index"] for line in lines) == list(range(ROWS))
    assert sorted(line["index"] for line in lines if not line["ok"]) == [4, 17, 39]
    assert all(line["meta"] == {"n": line["index"]} for line in lines)
    picked = called("cat", out, "--where", "status = 503").stdout.splitlines()
    assert sorted(json.loads(line)["index"] for line in picked) == [4, 17, 39]


@pytest.mark.parametrize("name", OUTPUTS)
def test_cat_writes_an_arrow_stream(make_run: MakeRun, name: str) -> None:
    out = make_run(name)
    for where, rows in ((), ROWS), (("--where", "not ok"), len(FAILING)):
        stream = called("cat", out, "--format", "arrow", *where).stdout
        table = pyarrow.ipc.open_stream(io.BytesIO(stream)).read_all()
        assert table.num_rows == rows
        assert table.num_columns == {"out.csv": 32, "files/": 34}.get(name, 33)


def test_cat_of_a_parquet_file_is_what_a_jsonl_file_holds(make_run: MakeRun, tmp_path: Path) -> None:
    out = make_run("out.jsonl")
    pyarrow.parquet.write_table(hurtle.open_run(out).to_arrow(), tmp_path / "copy.parquet")
    written = {json.loads(line)["index"]: json.loads(line) for line in out.read_bytes().splitlines()}
    for line in called("cat", tmp_path / "copy.parquet").stdout.splitlines():
        assert json.loads(line) == written[json.loads(line)["index"]]


@pytest.mark.parametrize("format", ["jsonl", "arrow"])
def test_cat_ends_quietly_when_its_reader_has_had_enough(
    tmp_path: Path,
    hurtle_server: Server,
    format: str,  # noqa: A002
) -> None:
    out = tmp_path / "out.parquet"
    hurtle.run([hurtle_server.url("/bytes/10000")] * 300, out, concurrency_per_host=64)
    with subprocess.Popen(
        command("cat", out, "--format", format), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as cat:
        assert cat.stdout is not None
        assert cat.stderr is not None
        assert len(cat.stdout.read(100)) == 100
        cat.stdout.close()
        assert cat.stderr.read() == b""
        assert cat.wait(30) == 0


def test_cat_says_what_is_wrong(tmp_path: Path, make_run: MakeRun) -> None:
    out = make_run("out.parquet")
    assert b"no such file or folder" in called("cat", tmp_path / "none", status=2).stderr
    assert b"no such column: nonsense" in called("cat", out, "--where", "nonsense", status=2).stderr


@pytest.mark.parametrize("format", ["jsonl", "arrow"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full to write to")
def test_cat_says_what_fetch_says_when_nothing_more_can_be_written(
    make_run: MakeRun,
    format: str,  # noqa: A002
) -> None:
    words = command("cat", make_run("out.parquet"), "--format", format)
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 3
    assert done.stderr == b"hurtle: stdout could not be written: No space left on device\n"


@pytest.mark.parametrize("name", ["out.jsonl", "out.sqlite", "parts/"])
def test_the_way_to_consent_is_said_at_each_step(tmp_path: Path, hurtle_server: Server, name: str) -> None:
    posts, out = tmp_path / "posts of today.jsonl", f"{tmp_path}/{name}"
    rows = [{"url": hurtle_server.url(path), "method": "POST"} for path in ("/echo", "/hang")]
    posts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with subprocess.Popen(command("fetch", posts, "-o", out), stderr=subprocess.DEVNULL) as victim:
        while not hurtle_server.stats()["in_flight"]:
            assert victim.poll() is None
            time.sleep(0.01)
        victim.kill()
    said = called("fetch", posts, "-o", out, status=1).stderr.decode().splitlines()[-1]
    unknown = hurtle.open_run(out).where("error = 'local.sent_unknown'")
    assert 1 in unknown
    count = "1 row" if len(unknown) == 1 else "2 rows"
    where = "error = 'local.sent_unknown'"
    assert said.startswith(f"hurtle: {count} may have been sent already; to resend with your consent: ")
    assert said.endswith(f": hurtle retry {out} -i '{posts}' --where \"{where}\" --resend-unknown")
    if name != "out.jsonl":
        # A complete run sends nothing again, even with consent.
        told = called("fetch", posts, "-o", out, "--resend-unknown", status=1).stderr.decode()
        assert told.splitlines()[-1] == said
        assert called("fetch", posts, "-o", out, "--resend-unknown", "-q", status=1).stderr == b""
    retry = ("retry", out, "-i", posts, "--where", where, "--timeout", "0.3")
    done = called(*retry)
    more = f"{len(unknown)} more may have been sent already: add --resend-unknown to resend them\n"
    assert f"0 rows to retry; {more}" in done.stderr.decode()
    asked = hurtle_server.stats()["requests"]
    again = called(*retry, "--resend-unknown", status=1).stderr.decode()
    assert "may have been sent" not in again
    assert hurtle_server.stats()["requests"] - asked == len(unknown)


def test_retry_asks_again_and_says_what_it_came_to(make_run: MakeRun) -> None:
    out = make_run("parts/")
    done = called("retry", out, "--where", '"index" < 10', "--retries", "0")
    assert b"4 rows" not in done.stderr
    assert b"10 rows to retry\n" in done.stderr
    assert b"10 requests in " in done.stderr
    assert done.stdout == b""
    quiet = called("retry", out, "-q")
    assert (quiet.stdout, quiet.stderr) == (b"", b"")
    assert hurtle.open_run(out).failed == 0
    assert b"0 rows to retry\n" in called("retry", out).stderr


def test_retry_exits_with_1_when_a_row_fails_again(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.jsonl"
    hurtle.run([hurtle_server.url("/status/404"), hurtle_server.url("/bytes/1")], out)
    done = called("retry", out, status=1)
    assert (
        b"1 row to retry; the input is missing, so they are sent as plain GETs of the rows' URLs, without"
        b" credentials, headers and parameters of their own\n"
    ) in done.stderr


def test_retry_sends_the_body_that_the_command_line_gave(tmp_path: Path, hurtle_server: Server) -> None:
    url = hurtle_server.url("/flaky?times=1&status=503&key=form")
    (tmp_path / "urls.txt").write_text(f"{url}\n{hurtle_server.url('/echo')}\n")
    called("fetch", tmp_path / "urls.txt", "-d", "a=1", "-o", f"{tmp_path}/out/", "--retries", "0", status=1)
    for plain in (
        called("retry", tmp_path / "out", status=2),
        called("fetch", tmp_path / "urls.txt", "-d", "a=2", "-o", f"{tmp_path}/out/", status=2),
    ):
        assert b"the input is not that of" in plain.stderr or b"its input is not the same" in plain.stderr
        words = b": the list is, but -X, -d or --json make different requests of it; use the same ones"
        assert words in plain.stderr
    called("fetch", tmp_path / "urls.txt", "-d", "a=1", "-o", f"{tmp_path}/out.csv", "--retries", "0")
    plain = called("retry", tmp_path / "out.csv", "-i", tmp_path / "urls.txt", "--where", "1", status=2)
    assert b": row 0 was a POST and is a GET now (the command's -X, -d and --json count)\n" in plain.stderr
    called("retry", tmp_path / "out", "-d", "a=1", "--where", "1")
    echo = next(hurtle.open_run(tmp_path / "out").select("url like '%/echo'"))
    assert (json.loads(echo["body"])["method"], json.loads(echo["body"])["body"]) == ("POST", "a=1")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_retry_that_is_stopped_says_how_to_go_on(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    with Server() as server:
        hurtle.run([server.url(f"/delay/{n * 20}") for n in range(30)], out, concurrency_per_host=30)
        words = command("retry", out, "--where", "1", "--concurrency-per-host", "1")
        with subprocess.Popen(words, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            asked = server.stats()["requests"]
            while server.stats()["requests"] < asked + 5:
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            said = process.stderr.read()
            assert process.wait(30) == 130
        assert b"out.parquet.run; to resume: the same command\n" in said
        assert not hurtle.open_run(out).complete
        assert b"not complete" in called("cat", out).stderr
        done = called("retry", out, "--where", "1", "--concurrency-per-host", "30")
    assert b"were already there" in done.stderr
    assert hurtle.open_run(out).complete
