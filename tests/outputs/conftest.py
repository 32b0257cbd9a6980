"""Fixtures for outputs: small parts, POSTs, a slow server, an object store."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from hurtle.outputs import objects
from hurtle.sinks import parts
from hurtle.testing import Server
from tests.outputs.killed_posts import two_posts
from tests.outputs.s3_server import BUCKET, S3

NUMBERS = count(1)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 20 rows."""
    monkeypatch.setattr(parts, "PART_ROWS", 20)


@pytest.fixture
def orders(hurtle_server: Server) -> list[dict[str, Any]]:
    """A POST that is answered at once, and one that is answered too late."""
    return two_posts(hurtle_server)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that takes a hundredth of a second for each answer."""
    with Server(latency=0.01) as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """A private server."""
    with S3() as server:
        yield server


@pytest.fixture
def prefix(s3: S3) -> Iterator[str]:
    """A new prefix in the server's bucket; faults end with the test."""
    yield f"runs/{next(NUMBERS)}/"
    s3.fail()


@pytest.fixture
def out(s3: S3, prefix: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the prefix, in an environment that leads to the server."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(objects, "RETRIES", 1)
    return f"s3://{BUCKET}/{prefix}"
