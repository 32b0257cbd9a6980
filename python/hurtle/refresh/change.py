"""What happened to a URL since an earlier run: a pure decision from the answer and from what was known."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, TypeAlias

from hurtle.refresh.conditions import Asked
from hurtle.refresh.earlier import FAILING, HEAD_FIELDS, TOO_MANY, Known, digest_of_head
from hurtle.runs.run import NOT_MODIFIED

if TYPE_CHECKING:
    from hurtle._engine import Response

Change: TypeAlias = Literal["new", "unchanged", "changed", "gone", "error"]

GONE = (404, 410)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a row says about its URL.

    Attributes:
        change: What happened to it.
        body: Where the body is, if it is unchanged and the earlier run has it. The row itself then has none.
    """

    change: Change
    body: Known | None = None

    @property
    def fields(self) -> Mapping[str, object]:
        """The columns that a refresh adds to the row."""
        run, index = (None, None) if self.body is None else (self.body.run, self.body.index)
        return {"change": self.change, "body_run": run, "body_index": index}


NEW, CHANGED, ERROR = Verdict("new"), Verdict("changed"), Verdict("error")


def verdict_on(response: "Response", asked: Asked | None) -> Verdict:
    """Return what happened to a URL.

    Args:
        response: The answer, or why there is none.
        asked: How the request was sent; None: the earlier run does not know it.
    """
    status = response.status
    if status is None or response.error is not None or response.truncated is not None:
        return ERROR
    if status >= FAILING or status == TOO_MANY:
        return ERROR
    if asked is None:
        return NEW
    known = asked.known
    if status in GONE and 200 <= known.status < 300:
        return Verdict("gone")
    if status == NOT_MODIFIED and asked.on_conditions and _ended_at(response) == known.moved:
        # The engine asks again without conditions, and some servers repeat themselves even so.
        return CHANGED if _names_later(response, asked.since) else Verdict("unchanged", known)
    if status == known.status and known.digest is not None and _digest(response) == known.digest:
        return Verdict("unchanged", known)
    # The caller set its own conditions, so only the caller knows where the body is.
    if status == NOT_MODIFIED and asked.own_conditions:
        return Verdict("unchanged")
    return CHANGED


def _ended_at(response: "Response") -> str | None:
    """Return where redirects ended, the one URL that received the conditions; None: no redirects."""
    return response.final_url if response.redirects else None


def _names_later(response: "Response", since: str | None) -> bool:
    """Whether an answer names a later Last-Modified than it was asked with."""
    named = _instant(response.headers.get("last-modified"))
    asked = _instant(since)
    return named is not None and asked is not None and named > asked


def _instant(date: str | None) -> datetime | None:
    try:
        found = None if date is None else parsedate_to_datetime(date)
    except ValueError:
        return None
    return found if found is None or found.tzinfo is not None else found.replace(tzinfo=UTC)


def _digest(response: "Response") -> bytes | None:
    """Return the digest to compare a body by; None: it is kept compressed, and cannot be decoded."""
    if response.method == "HEAD":
        return digest_of_head(response.headers.get_list(name) for name in HEAD_FIELDS)
    file = response.body_file
    if file is not None and file.sha256 is not None:
        return file.sha256
    try:
        return sha256(response.content).digest()
    except ValueError:
        return None
