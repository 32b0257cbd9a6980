"""One version: the workspace's, the binary's and the package's are the same."""

import importlib.metadata
import tomllib

from hurtle import _engine
from hurtle.version import __version__
from tests.contracts.tree import ROOT


def test_the_version_is_the_same_everywhere() -> None:
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]["package"]
    assert {__version__, _engine.__version__, importlib.metadata.version("hurtle")} == {workspace["version"]}
