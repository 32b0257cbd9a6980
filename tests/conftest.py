"""What tests of several parts need: a state directory that is not the user's, a database server."""

import os
from collections.abc import Iterator

import pytest

from tests.outputs.postgres_server import Postgres, find_postgres


@pytest.fixture(scope="session", autouse=True)
def _state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what runs to outputs elsewhere note on this machine apart from what the user's runs note."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server of our own. Only where nothing can be installed may it be missing."""
    programs = find_postgres()
    if programs is None:
        reason = "not installed: postgresql (Debian package; `make postgres` installs it)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with Postgres(programs) as server:
        yield server
