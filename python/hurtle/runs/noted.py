"""What an interrupted retry may have sent, carried over to the one that takes its place."""

import os
from collections.abc import Collection
from pathlib import Path

from hurtle.journal import sync_folder
from hurtle.ledger import RECORD


def keep_noted(ledger: Path, unknown: Collection[int]) -> None:
    """Keep only what is unknown yet in a ledger that nobody writes now.

    Args:
        ledger: The file, as `hurtle.ledger` has it.
        unknown: What stays noted.

    Raises:
        OSError: It could not be written; it is as it was.
    """
    temporary = ledger.with_name(f".{ledger.name}.tmp")
    with temporary.open("wb") as file:
        file.write(b"".join(map(RECORD.pack, sorted(unknown))))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(ledger)
    sync_folder(ledger.parent)
