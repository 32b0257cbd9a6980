"""`python -m hurtle`."""

import sys

from hurtle.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
