"""Shared fixtures: a state directory apart from the user's, a database server."""

import os
from collections.abc import Iterator

import pytest

from tests.outputs.postgres_server import Postgres, find_postgres


@pytest.fixture(scope="session", autouse=True)
def _state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the state of runs apart from that of the user's, and the user's proxies out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            patch.delitem(os.environ, name)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A separate server. It may be missing only if nothing can be installed."""
    programs = find_postgres()
    if programs is None:
        reason = "not installed: postgresql (Debian package; `make postgres` installs it)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with Postgres(programs) as server:
        yield server
