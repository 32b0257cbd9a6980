"""Requests that must not be sent twice: recorded before they are sent, never resent without consent."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from struct import pack
from time import monotonic
from typing import Any

import pytest

import hurtle
from hurtle.client.remaining import Remaining
from hurtle.errors import JournalError, LocalError
from hurtle.models import Group, Request, Row, Withheld
from hurtle.outputs import Identity
from hurtle.outputs.answers import ANSWERS
from hurtle.outputs.folder import RunFolder
from hurtle.outputs.ledger import unsettled
from hurtle.sinks import parts

WAIT_S = 30.0
KEY = re.compile(r'"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"')


class Recorder:
    """A server that remembers its requests, and holds back answers on demand."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.keys: list[str | None] = []
        self.fails_first = False
        self.on_request: Callable[[str], None] = lambda _: None
        self._held: set[str] = set()
        self._changed = threading.Condition()
        handler = type("Handler", (_Handler,), {"recorder": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/orders"

    def take(self, body: str, key: str | None) -> int:
        """Remember a request; return the status of its answer once that may be sent."""
        self.on_request(body)
        with self._changed:
            self.bodies.append(body)
            self.keys.append(key)
            self._changed.notify_all()
            self._changed.wait_for(lambda: body not in self._held, WAIT_S)
            return 503 if self.fails_first and self.bodies.count(body) == 1 else 200

    def hold(self, body: str) -> None:
        with self._changed:
            self._held.add(body)

    def release(self) -> None:
        with self._changed:
            self._held.clear()
            self._changed.notify_all()

    def wait_for(self, body: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: body in self.bodies, WAIT_S), f"{body} did not come"

    def close(self) -> None:
        self.release()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    recorder: Recorder

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        status = self.recorder.take(body, self.headers.get("idempotency-key"))
        try:
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()
        except OSError:  # the client was killed
            self.close_connection = True

    do_GET = do_PUT = do_PATCH = do_POST  # noqa: N815 - names of http.server

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    server = Recorder()
    yield server
    server.close()


def orders(recorder: Recorder, count: int = 5) -> list[dict[str, Any]]:
    """Return POSTs of different bodies to one URL."""
    return [
        {"url": recorder.url, "method": "POST", "content": f"order {n}", "id": f"no. {n}", "meta": {"n": n}}
        for n in range(count)
    ]


def written(out: Path) -> list[dict[str, Any]]:
    rows = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    return sorted(rows, key=lambda row: int(row["index"]))


def wait_until(holds: Callable[[], bool], what: str) -> None:
    end = monotonic() + WAIT_S
    pause = threading.Event()
    while not holds():
        assert monotonic() < end, f"not in time: {what}"
        pause.wait(0.01)


def logged(out: Path) -> list[int]:
    """Return the positions whose answers an unfinished run has logged."""
    try:
        lines = (out.with_name(out.name + ".run") / ANSWERS).read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    return [json.loads(line)["index"] for line in lines[:-1]]


class Run:
    """`hurtle fetch` of five orders, one at a time, in a separate process."""

    def __init__(self, recorder: Recorder, folder: Path, *more: str) -> None:
        self.recorder = recorder
        self.out = folder / "out.jsonl"
        self._list = folder / "orders.jsonl"
        self._list.write_text("".join(json.dumps(row) + "\n" for row in orders(recorder)), encoding="utf-8")
        self._more = more

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        words = ["fetch", str(self._list), "-o", str(self.out), "--concurrency-per-host", "1", "--quiet"]
        return subprocess.Popen([sys.executable, "-m", "hurtle", *words, *self._more, *more])

    def kill_in_the_third(self) -> None:
        """Kill it while the server has the third order and the first two answers are logged."""
        self.recorder.hold("order 2")
        process = self.start()
        try:
            self.recorder.wait_for("order 2")
            wait_until(lambda: logged(self.out) == [0, 1], "two answers in their log")
        finally:
            process.kill()
            process.wait()
        assert self.recorder.bodies == ["order 0", "order 1", "order 2"]
        assert not self.out.exists()
        self.recorder.release()

    def go_on(self, *more: str) -> int:
        return self.start(*more).wait(WAIT_S)


@pytest.mark.slow
def test_no_post_is_sent_twice_when_a_run_was_killed(tmp_path: Path, recorder: Recorder) -> None:
    run = Run(recorder, tmp_path)
    run.kill_in_the_third()
    assert run.go_on() == 1  # one row says that the outcome is unknown
    assert Counter(recorder.bodies) == {f"order {n}": 1 for n in range(5)}
    rows = written(run.out)
    assert [row["index"] for row in rows] == [0, 1, 2, 3, 4]
    assert [row["status"] for row in rows] == [200, 200, None, 200, 200]
    unknown = rows[2]
    assert (unknown["error"], unknown["attempts"], unknown["ok"]) == ("local.sent_unknown", 0, False)
    assert (unknown["method"], unknown["url"]) == ("POST", recorder.url)
    assert (unknown["id"], unknown["meta"]) == ("no. 2", {"n": 2})
    assert not run.out.with_name("out.jsonl.run").exists(), "the ledger goes with its run"


@pytest.mark.slow
def test_only_what_is_unknown_is_sent_again_when_consent_is_given(tmp_path: Path, recorder: Recorder) -> None:
    run = Run(recorder, tmp_path, "--idempotency-key")
    run.kill_in_the_third()
    assert run.go_on("--resend-unknown") == 0
    assert Counter(recorder.bodies) == {f"order {n}": 1 + (n == 2) for n in range(5)}
    assert [row["ok"] for row in written(run.out)] == [True] * 5
    keys: dict[str, set[str | None]] = {}
    for body, key in zip(recorder.bodies, recorder.keys, strict=True):
        keys.setdefault(body, set()).add(key)
    assert all(len(of_body) == 1 for of_body in keys.values()), "the key of a request changed"
    assert len(set().union(*keys.values())) == 5


@pytest.mark.slow
def test_a_request_stays_unknown_when_the_run_is_killed_again(tmp_path: Path, recorder: Recorder) -> None:
    run = Run(recorder, tmp_path)
    run.kill_in_the_third()
    recorder.hold("order 3")
    process = run.start()
    recorder.wait_for("order 3")
    process.kill()
    process.wait()
    recorder.release()
    assert run.go_on() == 1
    assert Counter(recorder.bodies) == {f"order {n}": 1 for n in range(5)}
    errors = [row["error"] for row in written(run.out)]
    assert errors == [None, None, "local.sent_unknown", "local.sent_unknown", None]


def test_a_request_is_settled_when_it_was_struck_out_and_not_recorded_again(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    struck = 1 << 63
    ledger.write_bytes(b"".join(pack("<Q", record) for record in [1, 2, struck | 1, 3, struck | 3, 3, 4]))
    assert unsettled(ledger, done={4}) == {2, 3}


def test_a_request_is_noted_before_the_server_sees_it(tmp_path: Path, recorder: Recorder) -> None:
    out = tmp_path / "out.jsonl"
    noted: dict[str, frozenset[int]] = {}

    def look(body: str) -> None:
        noted[body] = unsettled(tmp_path / "out.jsonl.run" / "ledger", set())

    recorder.on_request = look
    assert hurtle.run(orders(recorder, 6), out).ok == 6
    assert all(n in noted[f"order {n}"] for n in range(6))


def test_no_ledger_is_kept_of_what_may_be_repeated(tmp_path: Path, recorder: Recorder) -> None:
    rows: list[dict[str, Any]] = [{"url": recorder.url, "method": name} for name in ("GET", "PUT")]
    assert hurtle.run(rows, f"{tmp_path}/out/", format="jsonl").ok == 2
    assert not (tmp_path / "out" / "ledger").exists()


def test_a_failed_post_of_a_complete_run_can_be_asked_for_again(tmp_path: Path, recorder: Recorder) -> None:
    recorder.fails_first = True
    out = f"{tmp_path}/out/"
    assert hurtle.run(orders(recorder, 2), out, format="jsonl").ok == 0
    assert not (tmp_path / "out" / "ledger").exists(), "every order has its row"
    for _ in range(2):
        hurtle.retry(out, orders(recorder, 2), where="status >= 500")
    assert Counter(recorder.bodies) == {"order 0": 2, "order 1": 2}


def test_nothing_is_sent_when_it_cannot_be_noted(
    tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.jsonl"
    requests = [{"url": recorder.url, "content": "a GET"}, *orders(recorder, 3)]
    with monkeypatch.context() as patch:
        patch.setattr(parts.PartsSink, "ledger_path", tmp_path / "missing" / "ledger")
        with pytest.raises(JournalError, match="ledger could not be written"):
            hurtle.run(requests, out, concurrency_per_host=1)
    assert recorder.bodies == ["a GET"]
    summary = hurtle.run(requests, out)
    assert (summary.ok, summary.resumed) == (3, 1), "what had come was kept"
    assert sorted(recorder.bodies) == ["a GET", "order 0", "order 1", "order 2"]


async def _arun(requests: Sequence[dict[str, Any]], out: Path) -> None:
    await hurtle.arun(requests, out)


def test_the_failure_of_a_ledger_reaches_an_event_loop(
    tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    monkeypatch.setattr(parts.PartsSink, "ledger_path", tmp_path / "missing" / "ledger")
    with pytest.raises(JournalError, match="ledger could not be written"):
        asyncio.run(_arun(orders(recorder, 3), tmp_path / "out.jsonl"))
    assert recorder.bodies == []


def test_records_are_read_without_what_is_done_or_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    assert unsettled(path, {1}) == frozenset()
    path.write_bytes(b"".join(pack("<Q", n) for n in (7, 1, 1 << 40, 3)) + b"cut off"[:7])
    assert unsettled(path, {1, 3}) == {7, 1 << 40}
    with pytest.raises(JournalError, match="cannot be read"):
        unsettled(tmp_path, set())


class Listed:
    """Chunks of given rows."""

    def __init__(self, *rows: Row | Group) -> None:
        self._rows = list(rows)

    def take(self, limit: int) -> list[Row | Group]:
        taken, self._rows = self._rows[:limit], self._rows[limit:]
        return taken

    def close(self) -> None:
        self._rows = []


def left(row: Group, done: set[int], unknown: set[int] | None) -> list[tuple[int, bool, int]]:
    """Return what is left of a row: position, whether it is withheld, how many copies it has."""
    groups = Remaining(Listed(row), done, unknown).take(10)
    return [(group.index, isinstance(group.row, Withheld), len(group.copies)) for group in groups]


@pytest.mark.parametrize(
    ("done", "unknown", "expected"),
    [
        (set(), set(), [(4, False, 2)]),
        (set(), {4}, [(4, True, 0), (6, True, 0), (9, True, 0)]),
        ({4}, set(), [(6, True, 0), (9, True, 0)]),
        ({6}, {4}, [(4, True, 0), (9, True, 0)]),
        ({4, 6, 9}, set(), []),
        (set(), None, [(4, False, 2)]),
        ({4}, None, [(6, False, 1)]),
    ],
)
def test_copies_share_the_fate_of_the_request_that_went_for_them(
    done: set[int], unknown: set[int] | None, expected: list[tuple[int, bool, int]]
) -> None:
    order = Request("http://127.0.0.1/", "POST")
    assert left(Group(4, order, ((6, order), (9, order))), done, unknown) == expected


def test_what_may_be_repeated_is_never_withheld() -> None:
    fetched = Request("http://127.0.0.1/", "PUT")
    assert left(Group(4, fetched, ((6, fetched),)), {4}, {6}) == [(6, False, 0)]


def test_a_folder_that_only_holds_a_note_is_kept(tmp_path: Path) -> None:
    identity = Identity(input={"rows": 1})
    folder = RunFolder(tmp_path / "out", "jsonl", "out")
    folder.begin(identity, "auto")
    folder.ledger.write_bytes(pack("<Q", 0))
    assert folder.release(), "there is something to resume"
    assert unsettled(folder.ledger, folder.begin(identity, "auto")) == {0}
    folder.release()
    folder.begin(identity, "restart")
    assert not folder.ledger.exists(), "another run has another ledger"
    folder.remove()


def test_each_post_has_a_key_of_its_own_for_all_its_attempts(recorder: Recorder) -> None:
    recorder.fails_first = True
    retries = hurtle.Retry(total=2, methods=("POST", "PATCH"), backoff=0.01)
    requests = [*orders(recorder, 2), {"url": recorder.url, "method": "PATCH", "content": "order 2"}]
    for response in hurtle.fetch(requests, idempotency_key=True, retries=retries):
        assert (response.status, response.attempts) == (200, 2)
    keys = {body: set[str | None]() for body in recorder.bodies}
    for body, key in zip(recorder.bodies, recorder.keys, strict=True):
        assert KEY.fullmatch(key or ""), key
        keys[body].add(key)
    assert [len(of_body) for of_body in keys.values()] == [1, 1, 1]
    assert len(set().union(*keys.values())) == 3


def test_a_key_is_left_alone_that_the_caller_has_set(recorder: Recorder) -> None:
    post = {"url": recorder.url, "method": "POST"}
    own = hurtle.Request(recorder.url, "POST", headers={"Idempotency-Key": '"mine"'})
    requests = [own, hurtle.Request(recorder.url, "PUT"), hurtle.Request(recorder.url)]
    hurtle.fetch(requests, idempotency_key=True, concurrency_per_host=1)
    assert recorder.keys == ['"mine"', None, None]
    hurtle.fetch([post], idempotency_key=True, headers={"idempotency-key": '"shared"'})
    hurtle.fetch([post])
    assert recorder.keys[3:] == ['"shared"', None]


def test_another_call_has_other_keys_and_another_run_of_one_input_the_same(
    tmp_path: Path, recorder: Recorder
) -> None:
    requests = orders(recorder, 1)
    for _ in range(2):
        hurtle.fetch(requests, idempotency_key=True)
    for name in ("a.jsonl", "b.jsonl"):
        hurtle.run(requests, tmp_path / name, idempotency_key=True)
    first, second, run, again = recorder.keys
    assert len({first, second, run}) == 3
    assert run == again


def test_keys_come_from_the_content_when_an_input_can_be_read_once_only(
    tmp_path: Path, recorder: Recorder
) -> None:
    def keys(name: str, contents: Sequence[str]) -> list[str | None]:
        del recorder.keys[:]
        rows = ({"url": recorder.url, "method": "POST", "content": content} for content in contents)
        hurtle.run(rows, tmp_path / name, idempotency_key=True, concurrency_per_host=1)
        return list(recorder.keys)

    first = keys("a.jsonl", ["x", "y", "y"])
    assert len(set(first)) == 3, "two orders of one content are two orders"
    assert keys("b.jsonl", ["x", "z", "y"]) == [first[0], recorder.keys[1], first[2]]
    assert recorder.keys[1] != first[1]


def test_a_body_that_cannot_be_rendered_fails_its_own_row_alone(tmp_path: Path, recorder: Recorder) -> None:
    rows = [{"url": recorder.url, "method": "POST", "json": value} for value in ({1, 2}, {"a": 1})]
    out = tmp_path / "out.jsonl"
    hurtle.run(iter(rows), out, idempotency_key=True)
    assert [row["error"] for row in written(out)] == ["input.row", None]


def test_what_is_unknown_is_an_error_of_this_machine() -> None:
    error = hurtle.errors.error_for("local.sent_unknown", "words")
    assert isinstance(error, LocalError)
    assert not error.retryable
