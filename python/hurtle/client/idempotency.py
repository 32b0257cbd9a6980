"""A key for each request that must not take effect twice, so that its server recognizes a repetition."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from json import dumps
from uuid import UUID, uuid4, uuid5

from hurtle import wire
from hurtle.client.feed import Chunks
from hurtle.errors import InvalidRequest
from hurtle.models import Group, Request, Row

FIELD = "idempotency-key"
METHODS = frozenset({"POST", "PATCH"})
"""The others may be repeated as they are. Source: draft-ietf-httpapi-idempotency-key-header, section 1."""

_INPUTS = UUID("6f1b7c5e-3d0a-5c8e-9a44-1f0c8a2f7d61")
"""The name space of the inputs of runs."""


class Keyed:
    """Gives POST and PATCH requests an Idempotency-Key if they have none.

    The key is the same for every attempt of a request, and for every run of the same input. It is derived
    from the request's position and id, and from the input. If the input can be read only once, the request's
    URL and body replace the input.

    Args:
        chunks: The requests to send.
        fingerprint: Distinguishes the input from every other; None if nothing does.
        once: Whether no other run can have the same requests: then any keys work that no other call has.
    """

    def __init__(
        self, chunks: Chunks, fingerprint: Mapping[str, object] | None = None, *, once: bool = False
    ) -> None:
        self._chunks = chunks
        self._by_content = fingerprint is None and not once
        self._space = uuid4() if once else uuid5(_INPUTS, dumps(fingerprint, sort_keys=True))
        self._index = 0

    def take(self, limit: int) -> Sequence[Row | Group]:
        """Return up to `limit` rows, at least one, or none at the end. Raises what the source raised."""
        return [self._keyed(row) for row in self._chunks.take(limit)]

    def close(self) -> None:
        """Stop reading."""
        self._chunks.close()

    def _keyed(self, row: Row | Group) -> Row | Group:
        if not isinstance(row, Group):
            self._index += 1
            return self._with_key(row, self._index - 1) if isinstance(row, Request) else row
        self._index = row.index + 1
        if isinstance(row.row, Request):
            return replace(row, row=self._with_key(row.row, row.index))
        return row

    def _with_key(self, request: Request, index: int) -> Request:
        if request.method not in METHODS:
            return request
        pairs = wire.header_list(request.headers) if request.headers is not None else []
        if wire.has_field(pairs, FIELD):
            return request
        try:
            key = uuid5(self._space, self._name(request, index))
        except InvalidRequest:  # the engine reports it in the request's row
            return request
        # A string of structured fields. Source: RFC 9651, section 3.3.3.
        return replace(request, headers=[*pairs, (FIELD, f'"{key}"')])

    def _name(self, request: Request, index: int) -> str:
        name = f"{index} {request.id or ''}"
        if not self._by_content:
            return name
        body = sha256(request.body() or b"").hexdigest()
        return f"{name}\n{request.method} {request.url}\n{request.encoded_params() or ''}\n{body}"
