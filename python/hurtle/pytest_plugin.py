"""The fixture `hurtle_server`, available in every test suite where hurtle is installed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hurtle.testing import Server


@pytest.fixture
def hurtle_server() -> "Iterator[Server]":
    """Run a test server for the test: `hurtle_server.url("/status/503")`."""
    # Imported here because pytest loads this module in every session, even in those that use no server.
    from hurtle.testing import Server

    with Server() as server:
        yield server
