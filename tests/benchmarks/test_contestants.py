"""The contestants' job, and a case end to end on a real server."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shutil
from collections.abc import Iterator

import pytest

from benchmarks import clients, output, side_by_side
from benchmarks.cases import RACES
from benchmarks.contestants.harness import Job, WrongAnswerError, address, check
from benchmarks.measure import ContestantError, Terms
from tests.corpus.nginx import find_nginx

JOB = Job(url="http://127.0.0.1:1/x", requests=10, concurrency=4, body_bytes=3)


@pytest.fixture
def unpinned() -> Iterator[None]:
    """Give the test its cores back: a case pins the process that runs it."""
    cores = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, cores)


def test_a_job_survives_the_command_line() -> None:
    assert Job(**json.loads(JOB.to_json())) == JOB


def test_addresses_are_distinct_and_loopback() -> None:
    numbers = [*range(70_000), 999_999]
    found = {address(number) for number in numbers}
    assert len(found) == len(numbers)
    assert all(one.startswith("127.") and one not in {"127.0.0.1", "127.255.255.255"} for one in found)


def test_hosts_take_turns() -> None:
    job = Job(url="http://127.0.0.1:1/x", requests=0, concurrency=4, body_bytes=3, hosts=2)
    first, second = (f"http://{address(number)}:1/x" for number in range(2))
    assert list(job.urls(3)) == [first, second, first]
    assert list(itertools.islice(JOB.urls(2), 5)) == [JOB.url] * 2


@pytest.mark.parametrize(("status", "length"), [(500, 3), (None, 0), (200, 2)])
def test_a_wrong_answer_is_seen(status: int | None, length: int) -> None:
    with pytest.raises(WrongAnswerError):
        check(JOB, status, length)
    check(JOB, 200, 3)


@pytest.mark.slow
def test_a_contestant_that_fails_says_why() -> None:
    with pytest.raises(ContestantError, match=r"ended with 1: .*status None"):
        clients.client("hurtle").run(JOB)


def test_a_missing_tool_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert clients.client("wrk").missing == "wrk not found (install wrk)"


@pytest.mark.slow
@pytest.mark.usefixtures("unpinned")
@pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="a case needs two cores")
@pytest.mark.parametrize("name", ["keepalive", "https", "http2", "body_1m", "fresh", "hosts"])
def test_a_case_runs_end_to_end(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    race = next(race for race in RACES if race.name == name)
    monkeypatch.setitem(clients.PYTHON, "pyreqwest", ("pyreqwest_async", "no-such-package", 5))
    few = dataclasses.replace(
        race, contestants=("hurtle", "pyreqwest"), requests=300, fewest=300, hosts=min(race.hosts, 50)
    )
    result = side_by_side.measure(few, Terms(runs=1, accept_noise=True))
    assert result.rows[0][0] == "hurtle"
    assert any("skipped: no-such-package is not installed" in row[0] for row in result.rows)
    samples = result.figures["samples"]
    assert isinstance(samples, dict)
    assert samples["hurtle"][0]["requests"] == 300


@pytest.mark.slow
@pytest.mark.usefixtures("unpinned")
@pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="a case needs two cores")
def test_the_cost_of_outputs_is_measured_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "FEWEST_REQUESTS", 500)
    terms = Terms(runs=1, share=0.001, accept_noise=True)
    costs = output.measure(terms)
    assert [row[0] for row in costs.rows] == list(output.OUTPUTS)
    memory = output.memory(terms)
    assert [row[0] for row in memory.rows] == ["fetched", "all done before"]
    assert memory.figures["urls"] == 1_000
