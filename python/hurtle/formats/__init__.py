"""How rows lie in a file, both ways. One file for each format, and one line of `registry`."""

from hurtle.formats.base import Format
from hurtle.formats.registry import FORMATS

__all__ = ["FORMATS", "Format"]
