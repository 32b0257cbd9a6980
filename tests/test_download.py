"""Downloads: each file complete under its name, inside the folder, once, whatever comes between."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import sleep

import pytest

import hurtle
from hurtle.cli.main import main
from hurtle.errors import ConfigError
from hurtle.file_names import FileNames, name_of_header, name_of_url, numbered, safe_name
from hurtle.testing import Server

EVIL = (
    "../../etc/passwd", "..\\..\\boot.ini", "/etc/passwd", "C:\\x", "..", ".", "", ".hurtle",
    ".bashrc", "con", "NUL.txt", "a\0b", "x" * 500 + ".csv", "tail.", "tail ", "e\u0301", "\u202egpj.exe",
    "a/b", "\n", "é" * 300, "\ud800",
)  # fmt: skip


def files_in(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir() if path.name != ".hurtle"}


@pytest.mark.parametrize("text", EVIL)
def test_a_name_never_leaves_its_folder(text: str, tmp_path: Path) -> None:
    name = safe_name(text)
    assert name not in ("", ".", "..")
    assert not name.startswith(".")
    assert not set(name) & set('/\\:*?"<>|\0\n')
    assert len(name.encode()) <= 180
    (tmp_path / name).write_bytes(b"")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, None),
        ("inline", None),
        ("attachment; filename=a.csv", "a.csv"),
        ('attachment; filename="a \\"b\\".csv"', "a _b_.csv"),
        ("attachment; filename=../../a.csv", "a.csv"),
        ('attachment; filename="C:\\\\x\\\\a.csv"', "a.csv"),
        ("attachment; filename*=UTF-8''%2e%2e%2fa.csv; filename=b.csv", "a.csv"),
        ("attachment; FILENAME*=iso-8859-1'en'%a3.txt", "£.txt"),
        ("attachment; filename*=utf-16''x; filename=b.csv", "b.csv"),
        ('attachment; filename=""', None),
        ('attachment; filename=".."', None),
    ],
)
def test_content_disposition_is_read_as_rfc_6266_says(value: str | None, name: str | None) -> None:
    assert name_of_header(value) == name


def test_names_depend_on_the_input_alone() -> None:
    urls = [
        "http://a/x.csv",
        "http://b/X.CSV",
        "http://c/x.csv?1",
        "http://d/",
        "http://e",
        "http://f/x-1.csv",
    ]
    names = FileNames()
    for index, url in enumerate(urls):
        names.see(index, url, None)
    given = [names.of(index, url, "attachment; filename=z") for index, url in reversed(list(enumerate(urls)))]
    assert given[::-1] == ["x.csv", "X-1.CSV", "x-2.csv", "index.html", "index-4.html", "x-1-5.csv"]
    assert len({name.casefold() for name in given}) == len(urls)


def test_files_have_the_names_of_their_urls(tmp_path: Path, hurtle_server: Server) -> None:
    urls = [hurtle_server.url(f"/bytes/{size}?seed=5") for size in (0, 100, 700_000)]
    urls += [hurtle_server.url("/bytes/100?seed=6"), hurtle_server.url("/status/404"), "nonsense"]
    summary = hurtle.download(urls, tmp_path / "new" / "files", retries=0)
    folder = tmp_path / "new" / "files"
    assert (summary.ok, summary.failed) == (4, 2)
    assert files_in(folder) == {"0": 0, "100": 100, "700000": 700_000, "100-3": 100}
    expected = hurtle.fetch(urls, retries=0)
    run = hurtle.open_run(folder)
    for row in run:
        response = expected[row["index"]]
        assert run.body(row) == (response.content if response.ok else None)
    asked = hurtle_server.stats()["requests"]
    assert hurtle.download(urls, folder, retries=0).resumed == 6
    assert hurtle_server.stats()["requests"] == asked
    with pytest.raises(ConfigError, match="input is not the same"):
        hurtle.download(urls[:1], folder, retries=0)
    assert hurtle.download(urls[:2], folder, retries=0, restart=True).ok == 2
    assert files_in(folder) == {"0": 0, "100": 100}


def test_a_restart_that_is_killed_leaves_no_row_without_its_file(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [hurtle_server.url(f"/bytes/{size}") for size in (100, 200)]
    hurtle.download(urls, tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("hurtle.outputs.download_folder.recover", killed)
        with pytest.raises(KeyboardInterrupt):
            hurtle.download(urls, tmp_path, restart=True)
    assert files_in(tmp_path) == {}
    assert hurtle.download(urls, tmp_path).ok == 2
    assert files_in(tmp_path) == {"100": 100, "200": 200}


def test_copies_of_a_row_have_files_of_their_own(tmp_path: Path, hurtle_server: Server) -> None:
    urls = [hurtle_server.url(f"/bytes/{size}") for size in (400_000, 400_000, 100, 100)]
    assert hurtle.download(urls, tmp_path, dedupe=True).copied == 2
    assert files_in(tmp_path) == {"400000": 400_000, "400000-1": 400_000, "100": 100, "100-3": 100}
    assert len({path.stat().st_ino for path in tmp_path.iterdir()}) == 5
    assert (tmp_path / "400000").read_bytes() == (tmp_path / "400000-1").read_bytes()


def test_other_files_are_never_replaced(tmp_path: Path, hurtle_server: Server) -> None:
    (tmp_path / "100").write_text("mine")
    (tmp_path / "200").symlink_to(tmp_path / "elsewhere")
    urls = [hurtle_server.url("/bytes/100"), hurtle_server.url("/bytes/200")]
    hurtle.download(urls, tmp_path)
    assert (tmp_path / "100").read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()
    assert (tmp_path / "100-0").stat().st_size == 100
    assert (tmp_path / "200-1").stat().st_size == 200
    hurtle.download(urls[:1], tmp_path, restart=True)
    assert (tmp_path / "100").read_text() == "mine"
    assert not (tmp_path / "200-1").exists()


class Attachments(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Disposition", 'attachment; filename="../report.pdf"')
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"pdf")

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def attachments() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Attachments) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_names_come_from_headers_or_a_column_if_that_is_asked_for(tmp_path: Path, attachments: str) -> None:
    urls = [f"{attachments}/a", f"{attachments}/b"]
    hurtle.download(urls, tmp_path / "header", name_from="header")
    assert set(files_in(tmp_path / "header")) == {"report-0.pdf", "report-1.pdf"}
    (tmp_path / "list.csv").write_text(f"url,file\n{urls[0]},../one.pdf\n{urls[1]},\n", encoding="utf-8")
    hurtle.download(tmp_path / "list.csv", tmp_path / "column", name_column="file")
    assert set(files_in(tmp_path / "column")) == {"__one.pdf", "b"}
    with pytest.raises(ConfigError, match="name_from and name_column were url and file and are now url"):
        hurtle.download(tmp_path / "list.csv", tmp_path / "column")
    with pytest.raises(ConfigError, match="name_from"):
        hurtle.download(urls, tmp_path / "no", name_from="disposition")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("header", "column", "why"),
    [
        ("url,file,id", "fiel", "the list has no such column; others than those of a request: file"),
        ("url,file,id", "id", "this column sets the id of the request"),
        ("url", "file", "others than those of a request: none"),
        (None, "file", "the list has no such column"),
    ],
)
def test_a_column_that_can_name_no_file_is_refused_before_anything_is_sent(
    tmp_path: Path, header: str | None, column: str, why: str
) -> None:
    path = tmp_path / ("list.csv" if header else "list.txt")
    path.write_text((header or "http://localhost:9/") + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=why):
        hurtle.download(path, tmp_path / "no", name_column=column)
    assert not (tmp_path / "no").exists()
    path = tmp_path / "meta.csv"
    path.write_text("url,meta\n", encoding="utf-8")
    assert hurtle.download(path, tmp_path / "any", name_column="file").requests == 0


def test_the_command_downloads(
    tmp_path: Path, hurtle_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = [hurtle_server.url("/bytes/100"), hurtle_server.url("/status/404")]
    assert main(["download", *urls, "-o", str(tmp_path), "-v", "--retries", "0"]) == 1
    assert files_in(tmp_path) == {"100": 100}
    assert "2 requests" in capsys.readouterr().err
    assert main(["cat", str(tmp_path)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["body_path"] for row in sorted(rows, key=lambda row: row["index"])] == ["100", None]


_KILLED = """
import hurtle
hurtle.download({urls!r}, {folder!r}, concurrency=8, concurrency_per_host=8, progress=False)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("seconds", [0.15, 0.3, 0.45, 0.6, 0.75])
def test_s3_nothing_half_written_is_under_a_final_name_after_sigkill(tmp_path: Path, seconds: float) -> None:
    with Server(latency=0.002) as server:
        urls = [server.url(f"/bytes/{5_000_000 + n}?seed={n}") for n in range(12)]
        urls += [server.url(f"/bytes/{n}?seed={n}") for n in range(100)]
        script = _KILLED.format(urls=urls, folder=str(tmp_path))
        with subprocess.Popen([sys.executable, "-c", script]) as victim:
            sleep(seconds)
            victim.kill()
        assert victim.returncode in (0, -signal.SIGKILL)
        sizes = files_in(tmp_path)
        assert all(int(name) == size for name, size in sizes.items())
        summary = hurtle.download(urls, tmp_path)
        assert summary.ok + summary.resumed == len(urls)
        assert len(files_in(tmp_path)) == len(urls)
        for response in hurtle.stream(urls):
            name = name_of_url(response.url)
            assert sha256((tmp_path / name).read_bytes()).digest() == sha256(response.content).digest()
        assert {path.name for path in (tmp_path / ".hurtle").iterdir() if path.name[0] == "."} == set()


def test_a_number_goes_before_the_extension() -> None:
    assert numbered("a.tar.gz", 3) == "a-3.tar.gz"


def test_the_same_on_an_event_loop(tmp_path: Path, hurtle_server: Server) -> None:
    urls = [hurtle_server.url(f"/bytes/{length}") for length in (10, 20, 400_000, 20)]

    async def some() -> AsyncIterator[str]:
        for url in urls:
            await asyncio.sleep(0)
            yield url

    async def main() -> None:
        assert (await hurtle.adownload(some(), tmp_path / "iterable")).all_ok
        async with hurtle.Client() as client:
            assert (await client.adownload(urls, tmp_path / "list")).all_ok
            assert (await client.adownload(urls, tmp_path / "list")).resumed == 4
        with pytest.raises(ConfigError, match="restart"):
            await hurtle.adownload(urls, tmp_path / "list", restart="yes")  # type: ignore[arg-type]

    asyncio.run(main())
    hurtle.download(urls, tmp_path / "plain")
    expected = files_in(tmp_path / "plain")
    assert len(expected) == 4
    assert files_in(tmp_path / "iterable") == files_in(tmp_path / "list") == expected
