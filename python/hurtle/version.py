"""The version, in one place for Python; a contract test holds it equal to the engine's."""

__version__ = "0.1.0"
