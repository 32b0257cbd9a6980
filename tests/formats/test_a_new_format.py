"""A format is one file and one line of the registry: nothing else has to know about it."""

import json
from pathlib import Path
from typing import Any

import pytest

import hurtle
from hurtle.cli.main import main
from hurtle.errors import ConfigError
from hurtle.formats import registry
from hurtle.formats.registry import Line
from hurtle.testing import Server
from tests.outputs.breaking import Found, check_resumed
from tests.runs.conftest import FAILING, ROWS, MakeRun, rows_of

NAME, EXTENSION = "pairs", ".pairs"


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(NAME, "tests.formats.pairs:Pairs", (EXTENSION,))
    monkeypatch.setattr(registry, "LINES", (*registry.LINES, line))


def read(out: Path) -> list[dict[str, Any]]:
    """Return the rows of a file or of the parts of a folder, without hurtle's reader."""
    lines = [
        line
        for path in (sorted(out.glob(f"part-*{EXTENSION}")) if out.is_dir() else [out])
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    pairs = ([pair.split("=", 1) for pair in line.split("\t")] for line in lines)
    return [{name: json.loads(value) for name, value in row} for row in pairs]


def found(out: Path) -> list[tuple[int, Found]]:
    """Return rows as other formats' tests compare them."""
    return [(row["index"], Found(row["url"], row["status"], _body(row), row["error"])) for row in read(out)]


def _body(row: dict[str, Any]) -> bytes | None:
    return None if row["body"] is None else str(row["body"]).encode()


@pytest.mark.parametrize("name", [f"out{EXTENSION}", f"out{EXTENSION.upper()}"])
def test_run_knows_it_by_the_extension(tmp_path: Path, hurtle_server: Server, name: str) -> None:
    urls = [hurtle_server.url(f"/bytes/{n}") for n in range(10)]
    hurtle.run(urls, tmp_path / name)
    assert [row["url"] for row in sorted(read(tmp_path / name), key=lambda row: row["index"])] == urls
    with pytest.raises(ConfigError, match=rf"known: \.jsonl, .*\{EXTENSION}, .*\.sqlite"):
        hurtle.run(urls, tmp_path / "out.clay")


@pytest.mark.slow
def test_run_goes_on_with_it(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / f"out{EXTENSION}"
    check_resumed(hurtle_server, out, lambda: found(out))


def test_run_knows_it_by_name(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "folder"
    urls = [hurtle_server.url(f"/bytes/{n}") for n in range(10)]
    hurtle.run(urls, f"{out}/", format=NAME)
    assert len(read(out)) == len(hurtle.open_run(out).to_arrow()) == 10
    assert hurtle.open_run(out).complete
    with pytest.raises(ConfigError, match=rf"must be one of jsonl, .*, {NAME}, sqlite"):
        hurtle.run(urls, f"{out}/", format="clay")


def test_bodies_can_be_apart_from_it(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "folder"
    hurtle.run([hurtle_server.url("/bytes/100")], f"{out}/", format=NAME, bodies="apart")
    (row,) = read(out)
    assert row["body"] is None
    run = hurtle.open_run(out)
    assert [run.body(row) for row in run] == [(out / row["body_path"]).read_bytes()]
    assert json.loads((out / "run.json").read_text())["format"] == f"{NAME}+bodies"


def test_open_run_knows_it_by_its_first_bytes(tmp_path: Path, hurtle_server: Server) -> None:
    requests = [{"url": hurtle_server.url(f"/bytes/{n}"), "meta": {"n": n}} for n in range(10)]
    requests.append({"url": "nonsense"})
    same, written, out = (tmp_path / name for name in ("same.jsonl", f"out{EXTENSION}", "out.csv"))
    hurtle.run(requests, same)
    hurtle.run(requests, written)
    written.rename(out)
    rows, others = rows_of(out), rows_of(same)
    for name in ("url", "status", "body", "meta", "headers", "error"):
        assert {n: row[name] for n, row in rows.items()} == {n: row[name] for n, row in others.items()}
    assert hurtle.open_run(out).to_arrow().schema == hurtle.open_run(same).to_arrow().schema
    assert hurtle.open_run(out).complete is None


def test_a_file_of_no_requests_is_known_by_its_name(tmp_path: Path) -> None:
    hurtle.run([], tmp_path / f"out{EXTENSION}")
    assert hurtle.open_run(tmp_path / f"out{EXTENSION}").rows == 0
    (tmp_path / "out.csv").touch()
    with pytest.raises(ConfigError, match=rf"only if it is \.jsonl or \{EXTENSION}"):
        hurtle.open_run(tmp_path / "out.csv")


@pytest.mark.parametrize("name", [f"out{EXTENSION}", "folder/"])
def test_retry_writes_it_anew(tmp_path: Path, hurtle_server: Server, name: str) -> None:
    out = tmp_path / name
    urls = [hurtle_server.url(f"/flaky?times={n % 2}&status=503&key={n}") for n in range(10)]
    hurtle.run(urls, f"{tmp_path}/{name}", format=NAME, retries=0)
    asked = hurtle_server.stats()["requests"]
    assert hurtle.retry(out, urls).ok == hurtle_server.stats()["requests"] - asked == 5
    assert {row["status"] for row in rows_of(out).values()} == {200}
    if out.is_file():
        assert sorted((row["index"], row["status"]) for row in read(out)) == [(n, 200) for n in range(10)]
    assert not Path(f"{out}.run").exists()


@pytest.mark.slow
def test_an_interrupted_retry_goes_on(make_run: MakeRun, tmp_path: Path, hurtle_server: Server) -> None:
    out = make_run(f"out{EXTENSION}")

    def stop(counters: Any) -> None:
        if counters.done >= 2:
            raise KeyboardInterrupt

    options: dict[str, Any] = {"concurrency": 1, "rate_limit": "5/s"}
    with pytest.raises(KeyboardInterrupt):
        hurtle.retry(out, tmp_path / "urls.jsonl", progress=stop, **options)
    run = hurtle.open_run(out)
    assert (run.rows, run.complete) == (ROWS, False)
    assert 0 < run.failed < len(FAILING)
    assert hurtle.retry(out, tmp_path / "urls.jsonl").ok == run.failed
    assert (hurtle.open_run(out).failed, len(read(out))) == (0, ROWS)


def test_the_commands_know_it(
    tmp_path: Path, hurtle_server: Server, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    out = tmp_path / f"out{EXTENSION}"
    assert (
        main(["fetch", "-q", hurtle_server.url("/status/503?body=no"), "-o", str(out), "--retries", "0"]) == 1
    )
    assert main(["cat", str(out), "--where", "status = 503"]) == 0
    assert [json.loads(line)["body"] for line in capfdbinary.readouterr().out.splitlines()] == ["no"]
    assert main(["retry", "-q", str(out), "--where", "true", "--retries", "0"]) == 1
    assert [row["status"] for row in read(out)] == [503]
    assert main(["fetch", "-q", hurtle_server.url("/bytes/1"), "--format", NAME]) == 0
    assert capfdbinary.readouterr().out.startswith(b"index=0\t")


def test_it_is_known_while_its_line_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    with pytest.raises(ConfigError, match=rf"unknown output format '\{EXTENSION}'"):
        hurtle.run([], tmp_path / f"out{EXTENSION}")
