"""What must not be sent twice: the engine notes such a request on the disk before its first byte can leave.

A record is the request's position in the input, 8 bytes, little-endian. The engine writes it.
"""

from collections.abc import Container
from pathlib import Path
from struct import Struct

from hurtle.errors import JournalError

RECORD = Struct("<Q")
BLOCK = RECORD.size << 13


def unsettled(path: Path, done: Container[int]) -> frozenset[int]:
    """Return the requests that an earlier run was about to send, or sent, and that have no row.

    A last record that a crash cut off belongs to a request that was still waiting for it; it does not count.

    Args:
        path: The ledger; one that is not there notes nothing.
        done: Positions whose rows are committed.

    Raises:
        JournalError: The ledger cannot be read.
    """
    unknown: set[int] = set()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                whole = memoryview(block)[: len(block) - len(block) % RECORD.size]
                unknown.update(index for (index,) in RECORD.iter_unpack(whole) if index not in done)
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise JournalError(f"{path} cannot be read: {error.strerror or error}") from error
    return frozenset(unknown)
