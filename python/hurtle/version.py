"""The version, in one place for Python; a contract test compares it with the engine's."""

__version__ = "0.1.0"
