"""Conditional requests: a refresh asks for a body only if it differs from that of the earlier run."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hurtle import wire
from hurtle.client.feed import Chunks
from hurtle.models import Conditional, Group, Request
from hurtle.options import Options
from hurtle.refresh.earlier import Earlier, Known

METHODS = frozenset({"GET", "HEAD"})
"""Methods whose answers may be 304. Source: RFC 9110, section 13.2.1."""

_CODED_TAG = re.compile(r'((?:W/)?"[^"]*[^"-])-(?:gzip|br)"')
"""An entity tag that Apache made for a compressed page, from the tag of the page and the coding."""

OWN = ("if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range", "range")
"""A request with one of these headers sets its own conditions and is sent unchanged."""


def tags_of(etag: str) -> str:
    """Return the value of If-None-Match for an entity tag.

    Apache adds the coding to the tag of a page that it compresses, but compares what comes back with the tag
    of the page itself, so it never recognizes its own tag. Both are sent: they name the same version.

    Source: https://bz.apache.org/bugzilla/show_bug.cgi?id=45023

    Example:
        >>> tags_of('"2710-65f3-gzip"'), tags_of('"2710-65f3"')
        ('"2710-65f3-gzip", "2710-65f3"', '"2710-65f3"')
    """
    coded = _CODED_TAG.fullmatch(etag)
    return etag if coded is None else f'{etag}, {coded[1]}"'


@dataclass(slots=True)  # as Known
class Asked:
    """How a request was sent.

    Attributes:
        known: What the earlier run has for it.
        on_conditions: Whether it was sent with conditions from the earlier run.
        own_conditions: Whether it has its own conditions.
        since: The Last-Modified that it was sent with; None: it was sent without one.
    """

    known: Known
    on_conditions: bool
    own_conditions: bool
    since: str | None = None


class ConditionalChunks:
    """Adds conditions to the requests that the earlier run knows, and records how each was sent.

    Args:
        chunks: The requests to send.
        earlier: The earlier run.
        options: Reads the headers and parameters of every request.
        asked: Receives how each known request was sent, by its position.
    """

    def __init__(self, chunks: Chunks, earlier: Earlier, options: Options, asked: dict[int, Asked]) -> None:
        self._chunks = chunks
        self._earlier = earlier
        self._asked = asked
        self._all_own = any(wire.has_field(options.headers, name) for name in OWN)
        self._all_have_params = options.params is not None
        self._index = 0

    def take(self, limit: int) -> Sequence[Group]:
        """Return up to `limit` rows, at least one, or none at the end. Raises what the source raised."""
        groups = []
        for row in self._chunks.take(limit):
            group = row if isinstance(row, Group) else Group(self._index, row)
            self._index = group.index + 1
            groups.append(self._conditional(group))
        return groups

    def close(self) -> None:
        """Stop reading."""
        self._chunks.close()

    def _conditional(self, group: Group) -> Group:
        request = group.row
        if not isinstance(request, (str, Request)):
            return group
        # Most are only a URL: a request made of it would cost more than all the rest.
        method, url = ("GET", request) if isinstance(request, str) else (request.method, request.url)
        known = self._earlier.find(method, url)
        if known is None:
            return group
        own = self._all_own or (not isinstance(request, str) and _has_conditions(request))
        headers = () if own else self._conditions(request, known)
        asked = Asked(known, bool(headers), own, dict(headers).get("if-modified-since"))
        # The copies get the same answer to the same request.
        self._asked[group.index] = asked
        for index, _ in group.copies:
            self._asked[index] = asked
        if not headers:
            return group
        return Group(group.index, Conditional(request, headers, known.moved), group.copies)

    def _conditions(self, request: str | Request, known: Known) -> tuple[tuple[str, str], ...]:
        """Return both conditions if both are known; the server uses the one that it understands best.

        Source: RFC 9110, section 13.1.3 (a date is ignored beside an entity tag).
        """
        if not 200 <= known.status < 300:
            return ()
        has_params = self._all_have_params
        if isinstance(request, Request):
            if request.method not in METHODS or _has_body(request):
                return ()
            has_params = has_params or request.params is not None
        headers = []
        if known.etag is not None:
            headers.append(("if-none-match", tags_of(known.etag)))
        # If one URL stands for several resources, the date of one says nothing about another.
        if known.modified is not None and not known.several and not has_params:
            headers.append(("if-modified-since", known.modified))
        return tuple(headers)


def _has_conditions(request: Request) -> bool:
    if request.headers is None:
        return False
    try:
        pairs = wire.header_list(request.headers)
    except (TypeError, ValueError):  # the engine says so, in the request's row
        return True
    return any(wire.has_field(pairs, name) for name in OWN)


def _has_body(request: Request) -> bool:
    return any(body is not None for body in (request.json, request.data, request.content))
