"""The ledger of requests that must not be sent twice: each is on the disk before its first byte leaves.

A record is the request's position in the input, 8 bytes, little-endian. With the highest bit it strikes the
request out until its next record: nobody has worked on it so far. The engine writes it.
"""

from collections.abc import Collection, Container
from pathlib import Path
from struct import Struct

from hurtle.disk import replace_file
from hurtle.errors import JournalError, LedgerError

RECORD = Struct("<Q")
BLOCK = RECORD.size << 13
STRUCK = 1 << 63


class NotedElsewhere:
    """Stands for a ledger that cannot be read here: looking up a request in it is an error.

    A run whose requests may all be repeated looks none up.

    Args:
        where: Where the ledger is, in words, and what to do.
    """

    def __init__(self, where: str) -> None:
        self._where = where

    def __contains__(self, index: object) -> bool:
        """Raise LedgerError."""
        raise LedgerError(
            f"row {index} of the input must not be sent twice, and whether it was sent is recorded"
            f" {self._where}; or use --resend-unknown (resend_unknown=True) to resend it"
        )


def unsettled(path: Path, done: Container[int]) -> frozenset[int]:
    """Return the requests that an earlier run sent, or was about to send, and that have no row.

    If a crash cut off the last record, its request was still waiting and was not sent; it does not count.

    Args:
        path: The ledger; one that does not exist counts as empty.
        done: Positions whose rows are committed.

    Raises:
        JournalError: The ledger cannot be read.
    """
    unknown: set[int] = set()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                whole = memoryview(block)[: len(block) - len(block) % RECORD.size]
                for (record,) in RECORD.iter_unpack(whole):
                    if record >= STRUCK:
                        unknown.discard(record - STRUCK)
                    elif record not in done:
                        unknown.add(record)
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise JournalError(f"{path} cannot be read: {error.strerror or error}") from error
    return frozenset(unknown)


def keep_noted(ledger: Path, unknown: Collection[int]) -> None:
    """Keep only the requests that are still unknown, in a ledger that nobody is writing.

    Args:
        ledger: The file.
        unknown: The requests to keep.

    Raises:
        OSError: The file could not be written; it is unchanged.
    """
    replace_file(ledger, b"".join(map(RECORD.pack, sorted(unknown))))
