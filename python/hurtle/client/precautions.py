"""What a resumable run knows, so that no request takes effect twice."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Precautions:
    """How a transfer keeps certain requests from being sent twice.

    Attributes:
        ledger: Where the engine records them before they are sent; None: nowhere.
        unknown: Positions that an earlier run may have sent and that have no row. None: send them again.
        fingerprint: Distinguishes the input from every other; None if nothing does.
    """

    ledger: Path | None = None
    unknown: Container[int] | None = frozenset()
    fingerprint: Mapping[str, object] | None = None
