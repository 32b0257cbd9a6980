"""A server whose pages can be changed between two runs."""

from collections.abc import Iterator

import pytest

from tests.refresh.validating_server import ValidatingServer


@pytest.fixture
def site() -> Iterator[ValidatingServer]:
    with ValidatingServer() as server:
        yield server
