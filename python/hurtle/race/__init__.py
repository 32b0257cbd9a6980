"""The race: every classic way of sending many requests, side by side, measured on this machine.

    settings -> target (URLs, a server) -> contest: attempt after attempt -> result -> terminal | page

The package is callable because `hurtle.race` is both this package and the public verb: Python sets the
attribute `race` of `hurtle` to this module whenever one of its submodules is imported.
"""

import sys
from types import ModuleType

from hurtle.race.contest import race, run_race
from hurtle.race.result import RaceResult, Row
from hurtle.race.settings import Settings

__all__ = ["RaceResult", "Row", "Settings", "race", "run_race"]


class _Callable(ModuleType):
    __call__ = staticmethod(race)


sys.modules[__name__].__class__ = _Callable
