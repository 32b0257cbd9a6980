"""`hurtle version`: the versions that a bug report needs."""

import platform
from argparse import Namespace

from hurtle import _engine
from hurtle.version import __version__


def version(_given: Namespace) -> int:
    """Print the versions of hurtle, its engine, Python and the system."""
    print(f"hurtle {__version__}")
    print(f"engine {_engine.__version__}")
    print(f"{platform.python_implementation()} {platform.python_version()}")
    print(f"{platform.system()} {platform.release()} {platform.machine()}")
    return 0
