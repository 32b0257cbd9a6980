"""An object store for the tests of outputs in one."""

from collections.abc import Iterator
from itertools import count

import pytest

from hurtle.sinks import objects
from tests.sinks.s3_server import BUCKET, S3

NUMBERS = count(1)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """A server of our own."""
    with S3() as server:
        yield server


@pytest.fixture
def prefix(s3: S3) -> Iterator[str]:
    """A prefix of its own in the server's bucket; faults end with the test."""
    yield f"runs/{next(NUMBERS)}/"
    s3.fail()


@pytest.fixture
def out(s3: S3, prefix: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the prefix, in an environment that leads to the server."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(objects, "RETRIES", 1)
    return f"s3://{BUCKET}/{prefix}"
