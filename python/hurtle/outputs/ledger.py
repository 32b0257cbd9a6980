"""What must not be sent twice: the engine notes such a request on the disk before its first byte can leave.

A record is the request's position in the input, 8 bytes, little-endian. The engine writes it.
"""

from collections.abc import Collection, Container
from pathlib import Path
from struct import Struct

from hurtle.disk import replace_file
from hurtle.errors import JournalError, LedgerError

RECORD = Struct("<Q")
BLOCK = RECORD.size << 13


class NotedElsewhere:
    """Stands for what is noted where it cannot be read, so that nobody knows it: to ask for any is an error.

    A run of requests that may be repeated never asks.

    Args:
        where: Where it is noted, in words, and what to do.
    """

    def __init__(self, where: str) -> None:
        self._where = where

    def __contains__(self, index: object) -> bool:
        """Raise LedgerError."""
        raise LedgerError(
            f"row {index} of the input must not be sent twice, and whether it was sent is noted"
            f" {self._where}; --resend-unknown (resend_unknown=True) sends again what may have been sent"
        )


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


def keep_noted(ledger: Path, unknown: Collection[int]) -> None:
    """Keep only what is unknown yet in a ledger that nobody writes now.

    Args:
        ledger: The file.
        unknown: What stays noted.

    Raises:
        OSError: It could not be written; it is as it was.
    """
    replace_file(ledger, b"".join(map(RECORD.pack, sorted(unknown))))
