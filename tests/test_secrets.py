"""Passwords, tokens and cookies of requests are in no output, record, message or progress line.

A web archive is the exception, as documented: it holds requests as they were sent.
"""

import gzip
import io
import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pytest

import hurtle
from hurtle._engine import Progress
from hurtle.testing import Server

CANARY = "canary-7f3e91"
COMMAND = str(Path(sys.executable).parent / "hurtle")
FORMS = (CANARY.encode(), b64encode(f"user:{CANARY}".encode()), b64encode(CANARY.encode()).rstrip(b"="))


def found_in(data: bytes) -> bytes | None:
    """Return what is around the canary."""
    for form in FORMS:
        if (at := data.find(form)) >= 0:
            return data[max(0, at - 80) : at + 60]
    return None


def check(what: object) -> None:
    text = what if isinstance(what, bytes) else str(what).encode("utf-8", "surrogateescape")
    assert found_in(text) is None, found_in(text)


@pytest.fixture
def urls(hurtle_server: Server) -> list[str]:
    """Return URLs with a password: good ones, failing ones, and forms that are not valid."""
    here = hurtle_server.url("/").removeprefix("http://")
    user = f"user:{CANARY}"
    return [
        f"http://{user}@{here}bytes/3",
        f"http://{user}@{here}redirect/2",
        f"http://{user}@{here}redirect/40",
        f"http://{user}@{here}status/503",
        f"http:{user}@{here}bytes/4",
        f" http://{user}@{here}bytes/5",
        f"https://{user}@{here}tls",
        f"http://{user}@127.0.0.1:1/refused",
        f"http://{user}@127.0.0.1:99999/port",
        f"http://{user}@[::zz]/host",
        f"http://{user}@exa mple/space",
        f"http://{user}@",
        f"http://{user}@h\0/nul",
        f"http://user:a/{CANARY}@h/slash",
        f"http://user:{CANARY}\\@h/backslash",
        f"http://{user}@{'a' * 70_000}/long",
        f"ftp://{user}@h/scheme",
        f"//{user}@h/",
        f"{user}@h/",
        f"http://{CANARY}@{here}bytes/6",
    ]


OPTIONS: dict[str, Any] = {
    "retries": 0,
    "headers": {"X-Api-Key": CANARY, "Authorization": f"Bearer {CANARY}"},
    "cookies": {"session": CANARY},
}


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file below a folder, compressed ones decompressed."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            yield str(path), gzip.decompress(data) if path.suffix == ".gz" else data


OUTPUTS = [
    ("out.jsonl", {}),
    ("out.jsonl.gz", {}),
    ("out.csv", {}),
    ("out.sqlite", {}),
    ("parts/", {"format": "jsonl"}),
    ("files/", {"format": "files"}),
    # Their columns are compressed: only what is read back shows them.
    ("out.parquet", {}),
    ("out.duckdb", {}),
]


@pytest.mark.parametrize(("name", "more"), OUTPUTS)
def test_no_output_has_a_secret(tmp_path: Path, urls: list[str], name: str, more: dict[str, Any]) -> None:
    out = f"{tmp_path}/{name}"
    summary = hurtle.run(urls, out, **OPTIONS, **more)
    assert (summary.ok, summary.requests) == (4, len(urls))
    check(repr(summary))
    check(summary)
    check(json.dumps(summary.as_dict(), default=str))
    for path, data in contents(tmp_path):
        assert found_in(data) is None, (path, found_in(data))
    run = hurtle.open_run(out)
    assert run.rows == len(urls)
    for row in run:
        check(row | {"body": None})


@pytest.mark.parametrize("name", ["out.jsonl", "parts/"])
def test_the_record_of_an_interrupted_run_has_none(tmp_path: Path, hurtle_server: Server, name: str) -> None:
    def stop(progress: Progress) -> None:
        if progress.done >= 5:
            raise KeyboardInterrupt

    here = hurtle_server.url("/").removeprefix("http://")
    requests = [
        hurtle.Request(f"http://user:{CANARY}@{here}bytes/{n}", "POST", content=b"x", auth=("user", CANARY))
        for n in range(200)
    ]
    more: dict[str, Any] = {"format": "jsonl"} if name.endswith("/") else {}
    with pytest.raises(KeyboardInterrupt):
        hurtle.run(requests, f"{tmp_path}/{name}", progress=stop, rate_limit="300/s", **OPTIONS, **more)
    found = dict(contents(tmp_path))
    assert any(path.endswith("run.json") for path in found)
    for path, data in found.items():
        assert found_in(data) is None, (path, found_in(data))


def test_no_response_shows_one(urls: list[str]) -> None:
    told = io.StringIO()
    with redirect_stderr(told):
        results = hurtle.fetch(urls, progress=True, **OPTIONS)
    check(told.getvalue())
    check(repr(results))
    for response in results:
        for shown in (response, response.error, response.url, response.final_url, response.redirects):
            check(repr(shown))
        check(repr(response.attempt_log))
        check(repr(response.request))
        if not response.ok:
            with pytest.raises(hurtle.HurtleError) as raised:
                response.raise_for_status()
            check(repr(raised.value))
            check(raised.value)


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"X-Api-Key": f"{CANARY}\n"}},
        {"headers": {"X\n": CANARY}},
        {"headers": CANARY},
        {"headers": [CANARY]},
        {"cookies": {"session": f"{CANARY};\n"}},
        {"cookies": CANARY},
        {"auth": f"{CANARY}\n"},
        {"auth": (CANARY,)},
        {"params": [CANARY]},
    ],
)
def test_no_complaint_about_an_option_or_a_request_shows_one(
    hurtle_server: Server, options: dict[str, Any]
) -> None:
    url = hurtle_server.url("/bytes/1")
    with pytest.raises(hurtle.ConfigError) as raised:
        hurtle.fetch([url], **options)
    check(repr(raised.value))
    asked: list[Callable[[], object]] = [
        lambda: hurtle.fetch([hurtle.Request(url, **options)])[0].error,
        lambda: hurtle.fetch([{"url": url, **options}])[0].error,
        lambda: repr(hurtle.Request(url, **options)),
    ]
    for ask in asked:
        try:
            check(repr(ask()))
        except hurtle.HurtleError as error:
            check(repr(error))


def test_the_command_prints_none(tmp_path: Path, urls: list[str]) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(url for url in urls if "\0" not in url and len(url) < 1000))
    commands = [
        [
            "fetch",
            str(listed),
            "-o",
            f"{tmp_path}/out.jsonl",
            "-H",
            f"X-Api-Key: {CANARY}",
            "-v",
            "--retries=0",
        ],
        ["plan", str(listed)],
        ["retry", f"{tmp_path}/out.jsonl", "--retries=0", "-u", f"user:{CANARY}"],
        ["cat", f"{tmp_path}/out.jsonl"],
        ["fetch", urls[8], "--retries=0"],
        ["fetch", urls[7], "--retries=0", "-v"],
        ["fetch", str(listed), "-H", CANARY],
        ["fetch", str(listed), f"--pasword={CANARY}", "--token", CANARY],
    ]
    for words in commands:
        ran = subprocess.run([COMMAND, *words], capture_output=True, timeout=60, check=False)
        for data in (ran.stdout, ran.stderr):
            assert found_in(data) is None, (words[0], found_in(data))
    assert (
        b"unrecognized arguments: --pasword --token"
        in subprocess.run([COMMAND, *commands[7]], capture_output=True, timeout=60, check=False).stderr
    )


def test_the_options_of_a_client_show_none() -> None:
    with hurtle.Client(**OPTIONS, params={"key": CANARY}) as client:
        check(repr(client))
        check(repr(client.options))


def test_a_request_shows_names_and_no_values() -> None:
    request = hurtle.Request(
        f"http://user:{CANARY}@h/", "POST", headers={"X-Api-Key": CANARY}, json={"password": CANARY}, id="a"
    )
    assert repr(request) == "Request('...@h/', method='POST', headers=..., json=..., id='a')"
