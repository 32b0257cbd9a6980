"""Explore one reader of files with atheris, which learns from what the input reaches.

Usage: python -m tests.fuzzing READER [OPTION OF LIBFUZZER | FOLDER ...]
"""

import sys

import atheris

with atheris.instrument_imports(include=["hurtle", "json", "csv"]):
    from tests.fuzzing.readers import READERS


def main() -> None:
    """Run until a property is broken or the options say stop."""
    name, *options = sys.argv[1:]
    atheris.Setup([sys.argv[0], *options], READERS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
