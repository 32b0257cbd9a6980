"""Both sides of the boundary have the same defaults, under the same names."""

from __future__ import annotations

from dataclasses import fields

from hurtle import _engine
from hurtle.options import Options


def test_the_defaults_are_equal_on_both_sides() -> None:
    engine = _engine.option_defaults()
    assert engine, "the engine names no option"
    options = Options()
    for name, default in engine.items():
        # A tuple here arrives from Rust as a list.
        expected = tuple(default) if isinstance(default, list) else default
        assert getattr(options, name) == expected, name


def test_every_option_that_the_engine_reads_is_compared() -> None:
    # Options that Python handles itself; and `headers`, which arrive with Python's user agent.
    of_python_alone = {"ordered", "dedupe", "idempotency_key", "on_error", "progress", "max_duration"}
    of_python_alone |= {"body_folder"}
    of_python_alone |= {"headers"}
    assert {field.name for field in fields(Options)} - of_python_alone == set(_engine.option_defaults())
