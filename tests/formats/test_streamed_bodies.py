"""Large bodies go to the disk while they come: what is there then, and how much memory that takes."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep

import pytest

import hurtle
from hurtle.errors import ConfigError
from hurtle.testing import Server

LARGE = (262_144, 300_000, 3_000_000)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and limits")


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", script]
    return subprocess.run(words, timeout=120, capture_output=True, text=True, check=False)


def check_bodies(folder: Path, bodies: Path) -> None:
    """Every row has its body, under the name of its content, and nothing else is there."""
    run = hurtle.open_run(folder)
    named = set()
    for row in run:
        body = run.body(row)
        assert body is not None
        assert len(body) == row["bytes_body"]
        named.add(bodies.parent / row["body_path"])
        assert sha256(body).hexdigest() in row["body_path"].replace("/", "")
    assert set(files_in(bodies)) == named


def test_a_large_body_is_stored_as_a_small_one_is(tmp_path: Path, hurtle_server: Server) -> None:
    urls = [hurtle_server.url(f"/bytes/{size}?seed=7") for size in (10, *LARGE)]
    urls += [urls[-1], hurtle_server.url("/truncate/10")]
    hurtle.run(urls, tmp_path / "inline.jsonl", retries=0)
    summary = hurtle.run(urls, f"{tmp_path}/out/", format="files", retries=0)
    assert (summary.ok, summary.failed) == (5, 1)
    inline, apart = hurtle.open_run(tmp_path / "inline.jsonl"), hurtle.open_run(tmp_path / "out")
    expected = {row["index"]: inline.body(row) for row in inline}
    assert {row["index"]: apart.body(row) for row in apart} == expected
    rows = {row["index"]: row for row in apart}
    assert [rows[n]["bytes_body"] for n in range(4)] == [10, *LARGE]
    assert rows[3]["body_path"] == rows[4]["body_path"]
    assert len(files_in(tmp_path / "out" / "bodies")) == 5
    assert [path.name for path in (tmp_path / "out" / "bodies").iterdir() if path.name[0] == "."] == []


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_coded_body_is_decoded_on_its_way(tmp_path: Path, hurtle_server: Server, coding: str) -> None:
    url = hurtle_server.url(f"/{coding}/2000000")
    hurtle.run([url], f"{tmp_path}/out/", format="files")
    (response,) = hurtle.fetch([url])
    assert response.ok
    (body,) = files_in(tmp_path / "out" / "bodies")
    assert body.read_bytes() == response.content
    assert body.stat().st_size > 256 << 10


def test_max_body_size_bounds_the_file(tmp_path: Path, hurtle_server: Server) -> None:
    url = hurtle_server.url("/bytes/3000000")
    hurtle.run([url], f"{tmp_path}/error/", format="files", max_body_size=1 << 20, retries=0)
    hurtle.run(
        [url], f"{tmp_path}/cut/", format="files", max_body_size=1 << 20, on_oversize="truncate", retries=0
    )
    (row,) = hurtle.open_run(tmp_path / "error")
    assert row["error"] == "too_large.declared"
    (row,) = hurtle.open_run(tmp_path / "cut")
    assert (row["truncated"], row["bytes_body"], row["ok"]) == ("length", 1 << 20, False)
    assert (tmp_path / "cut" / row["body_path"]).stat().st_size == 1 << 20


def test_a_large_answer_to_a_post_is_committed_at_once(tmp_path: Path, hurtle_server: Server) -> None:
    """The log of answers has no room for it, and the request must not be sent again."""
    request = {"url": hurtle_server.url("/bytes/400000"), "method": "POST"}
    rows: list[int] = []

    def count(_: object) -> None:
        rows.append(len(list((tmp_path / "out").glob("part-*"))))

    def requests() -> Iterator[dict[str, str]]:
        yield request
        while not any(rows):
            sleep(0.01)

    hurtle.run(requests(), f"{tmp_path}/out/", format="files", progress=count)
    assert rows[-1] == 1
    check_bodies(tmp_path / "out", tmp_path / "out" / "bodies")


_LIMITED = """
import resource, sys
import hurtle
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    hurtle.run([{url!r}], {out!r}, format="files", retries=0)
except hurtle.SinkError as error:
    sys.exit(f"SinkError: {{error}}")
"""


@pytest.mark.slow
def test_s4_a_disk_that_takes_no_more_ends_the_run_with_an_error(
    tmp_path: Path, hurtle_server: Server
) -> None:
    out, url = f"{tmp_path}/out/", hurtle_server.url("/bytes/5000000")
    script = _LIMITED.format(url=url, out=out)
    ended = run_script(script)
    assert ended.returncode == 1
    assert ended.stderr.startswith("SinkError: bodies could not be written: ")
    assert not Path(out).exists() or files_in(Path(out) / "bodies") == []
    assert hurtle.run([url], out, format="files").ok == 1
    check_bodies(Path(out), Path(out) / "bodies")


_MEASURED = """
import re, sys
import hurtle
urls = [f"{base}/bytes/20000000?seed={{n}}" for n in range(20)]
summary = hurtle.run(
    urls, {out!r}, format="files", concurrency=32, concurrency_per_host=32, timeout=120, progress=False
)
assert summary.ok == 20, summary
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_many_large_bodies_at_once_take_little_memory(tmp_path: Path, hurtle_server: Server) -> None:
    script = _MEASURED.format(base=hurtle_server.url(""), out=f"{tmp_path}/out/")
    ended = run_script(script)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < 100_000, "kB; the bodies are 400 MB"


_KILLED = """
import hurtle
from hurtle.sinks import parts
parts.PART_SECONDS = 3600.0  # it is not time that closes a part
hurtle.run({urls!r}, {out!r}, format="files", concurrency=8, concurrency_per_host=8, progress=False)
"""


@pytest.mark.slow
def test_s3_after_sigkill_no_whole_file_is_fetched_again(tmp_path: Path) -> None:
    with Server() as server:
        out = tmp_path / "out"
        whole = [server.url(f"/bytes/20000000?seed={n}") for n in range(3)]
        urls = [*whole, server.url("/hang"), server.url("/drip?bytes=900000&ms=1")]
        script = _KILLED.format(urls=urls, out=f"{out}/")
        with subprocess.Popen([sys.executable, "-c", script]) as victim:
            end = monotonic() + 60
            while not (done_in(out) == 3 and server.stats()["requests"] == 5) and monotonic() < end:
                sleep(0.005)
            victim.kill()
        assert victim.returncode == -signal.SIGKILL
        summary = hurtle.run(urls, f"{out}/", format="files", timeout=0.5, retries=0)
        assert (summary.resumed, summary.requests, summary.failed) == (3, 2, 2)
        assert server.stats()["requests"] == 7
        assert {row["index"] for row in hurtle.open_run(out) if row["ok"]} == {0, 1, 2}
        assert len(files_in(out / "bodies")) == 3
        assert [path for path in (out / "bodies").iterdir() if path.name[0] == "."] == []


def done_in(folder: Path) -> int:
    """Return how many rows the journal of a run calls done."""
    journal = folder / "journal.jsonl"
    lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
    spans = [span for line in lines for span in json.loads(line)["done"]]
    return sum(last - first + 1 for first, last in spans)


_INTERRUPTED = """
import hurtle
hurtle.run(
    {urls!r}, {out!r}, format={format!r}, bodies="apart",
    concurrency=8, concurrency_per_host=8, progress=False,
)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("out", "format"),
    [("out/", "jsonl"), ("out/", "parquet"), ("out.jsonl", "jsonl"), ("out.sqlite", "sqlite")],
)
def test_s3_a_run_that_is_killed_again_and_again_has_every_body_once(
    tmp_path: Path,
    out: str,
    format: str,  # noqa: A002
) -> None:
    with Server(latency=0.005) as server:
        urls = [server.url(f"/bytes/{1_000_000 + n}?seed={n}") for n in range(60)]
        urls += [server.url(f"/bytes/{n}?seed={n}") for n in range(200)]
        script = _INTERRUPTED.format(urls=urls, out=f"{tmp_path}/{out}", format=format)
        for seconds in (0.25, 0.35, 0.45, 0.55):
            with subprocess.Popen([sys.executable, "-c", script]) as victim:
                sleep(seconds)
                victim.kill()
        hurtle.run(urls, f"{tmp_path}/{out}", format=format, bodies="apart")
        folder = tmp_path / "out" / "bodies" if out.endswith("/") else tmp_path / f"{out}.bodies"
        run = hurtle.open_run(tmp_path / out.rstrip("/"))
        assert run.rows == len(urls)
        assert run.failed == 0
        check_bodies(tmp_path / out.rstrip("/"), folder)
        expected = {response.index: sha256(response.content).digest() for response in hurtle.stream(urls)}
        assert {row["index"]: sha256(run.body(row) or b"").digest() for row in run} == expected


def test_a_stream_has_large_bodies_on_the_disk_if_it_is_told_where(
    tmp_path: Path, hurtle_server: Server
) -> None:
    folder, out = tmp_path / "folder", tmp_path / "out"
    folder.mkdir()
    urls = [hurtle_server.url(f"/bytes/{size}") for size in (100, 3_000_000)]
    for response in hurtle.stream(urls, body_folder=folder):
        assert (response.body_file is None) == (response.index == 0)
        assert len(response.content) == (100, 3_000_000)[response.index]
        response.stream_to(out)
        if response.body_file is not None:
            assert out.stat().st_ino == response.body_file.path.stat().st_ino, "linked, not copied"
            assert response.body_file.sha256 is None
    del response
    assert files_in(folder) == []
    results = hurtle.fetch(urls, body_folder=folder)
    assert len(files_in(folder)) == 1
    assert [len(response.content) for response in results] == [100, 3_000_000]
    del results
    hurtle.fetch(urls[:1], body_folder=folder)
    assert list(folder.iterdir()) == [], "a folder goes when its last body has gone"
    for call in (
        lambda: hurtle.run(urls, tmp_path / "x.jsonl", body_folder=folder),
        lambda: hurtle.download(urls, tmp_path / "x", body_folder=folder),
        lambda: hurtle.stream_arrow(urls, body_folder=folder),
        lambda: hurtle.fetch(urls, body_folder=tmp_path / "missing"),
        lambda: hurtle.fetch(urls, body_folder=out),
    ):
        with pytest.raises(ConfigError, match="body_folder"):
            call()


def test_a_body_is_saved_whole_or_not_at_all(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (response,) = hurtle.fetch([hurtle_server.url("/bytes/100000")])
    out = tmp_path / "body"
    response.stream_to(out)
    assert out.read_bytes() == response.content
    assert response.body_file is None
    out.write_text("before")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("hurtle.disk.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            response.stream_to(out)
    assert out.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["body"]


def test_a_body_on_the_disk_goes_with_its_response(tmp_path: Path, hurtle_server: Server) -> None:
    """The boundary, without a sink: a job that streams bodies to a folder."""
    from hurtle._engine import Engine
    from hurtle.options import Options

    folder = tmp_path / "bodies"
    folder.mkdir()
    engine = Engine(Options())
    job = engine.job(body_folder=folder, bodies_above=256 << 10, hashes_bodies=True)
    job.submit([hurtle_server.url("/bytes/300000")])
    job.finish()
    batch = job.next_batch(10)
    assert batch is not None
    (response,) = batch
    file = response.body_file
    assert file is not None
    assert (file.path.parent, file.nbytes, file.sha256) == (
        folder,
        300_000,
        sha256(response.content).digest(),
    )
    assert (batch.file_bytes, batch.body_sizes()) == (300_000, [0])
    response.stream_to(tmp_path / "saved")
    del batch, response, file
    assert list(folder.iterdir()) == []
    assert (tmp_path / "saved").stat().st_size == 300_000
    engine.close()
