"""Both sides of the boundary hold the same defaults, under the same names."""

from __future__ import annotations

from hurtle import _engine
from hurtle.options import Options


def test_the_defaults_are_equal_on_both_sides() -> None:
    engine = _engine.option_defaults()
    assert engine, "the engine names no option"
    options = Options()
    assert {name: getattr(options, name) for name in engine} == engine
