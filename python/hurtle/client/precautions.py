"""What a run that can be gone on with knows, so that nothing takes effect twice."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Precautions:
    """How a transfer keeps requests from being sent twice that must not be.

    Attributes:
        ledger: Where the engine notes them before they are sent; None: nowhere.
        unknown: Positions that an earlier run may have sent, and that have no row. None: they are sent again.
        fingerprint: What tells the input from every other; None where nothing does.
    """

    ledger: Path | None = None
    unknown: Container[int] | None = frozenset()
    fingerprint: Mapping[str, object] | None = None
