"""Input and output values: requests, bad rows, and the parts of a response. Plain data, no I/O."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, fields
from math import isfinite
from typing import Any, Literal, TypeAlias

from hurtle import checks, wire
from hurtle.errors import InvalidRequest

JsonValue: TypeAlias = Any
"""Anything that `json.dumps` takes: no closed type fits every caller's data."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request to send.

    This class checks types; the engine checks the bytes of URL, method and headers, for that row alone.

    Args:
        url: An absolute http:// or https:// URL.
        method: The method; converted to capitals.
        params: Query parameters, added to the URL's own: a mapping, pairs, or encoded text.
        headers: A mapping or pairs; they override the options' headers of the same name.
        cookies: Names and values for one Cookie header.
        json: A value sent as JSON. Give at most one of json, data and content.
        data: A mapping or pairs sent as a form.
        content: Bytes, or text sent as UTF-8.
        auth: (user, password) for Basic, or a token for Bearer.
        timeout: Seconds for one attempt, instead of the option's total.
        id: A name for the row; None: the input index.
        meta: Any JSON value; the response carries it unchanged.
        priority: Higher is sent earlier among the requests of one host.
        decode_content: Whether to undo the content codings of the body; None: as the option says.

    Raises:
        InvalidRequest: A value has the wrong type, or there is more than one body.

    Example:
        >>> Request("http://127.0.0.1/search", params={"q": "snail"}).encoded_params()
        'q=snail'
    """

    url: str
    method: str = "GET"
    _: KW_ONLY
    params: wire.Params | None = None
    headers: wire.HeaderPairs | None = None
    cookies: Mapping[str, str] | None = None
    json: JsonValue = None
    data: wire.Form | None = None
    content: bytes | str | None = None
    auth: wire.Auth | None = None
    timeout: float | None = None
    id: str | None = None
    meta: JsonValue = None
    priority: int = 0
    decode_content: bool | None = None

    def __repr__(self) -> str:
        """Show what was set: of values that may be secret, only that they are there."""
        _, mark, rest = self.url.rpartition("@")
        shown = [repr(f"...@{rest}" if mark else self.url)]
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if value != field.default:
                shown.append(f"{field.name}={'...' if field.name in _MAY_BE_SECRET else repr(value)}")
        return f"Request({', '.join(shown)})"

    def __post_init__(self) -> None:
        """Check types, and normalize method, id and auth."""
        if not isinstance(self.url, str):
            raise _invalid(f"url takes text, not {type(self.url).__name__}")
        if not checks.is_text(self.url):
            raise _invalid("url contains half of a surrogate pair")
        if not isinstance(self.method, str) or not self.method or not self.method.isascii():
            raise _invalid(f"method takes a name such as 'GET', not {self.method!r}")
        if not self.method.isupper():
            object.__setattr__(self, "method", self.method.upper())
        if self.id is not None and not (isinstance(self.id, str) and self.id.isascii()):
            object.__setattr__(self, "id", _id_text(self.id))
        if isinstance(self.auth, list):
            object.__setattr__(self, "auth", tuple(self.auth))
        if self.timeout is not None and not _is_positive(self.timeout):
            raise _invalid(f"timeout takes seconds above 0, not {self.timeout!r}")
        if isinstance(self.priority, bool) or not isinstance(self.priority, int):
            raise _invalid(f"priority takes a whole number, not {self.priority!r}")
        if self.decode_content is not None and not isinstance(self.decode_content, bool):
            raise _invalid(f"decode_content takes True or False, not {self.decode_content!r}")
        self._check_body()
        if self.params is not None:
            self.encoded_params()
        if self.headers is not None or self.cookies is not None or self.auth is not None:
            self.header_items()

    def _check_body(self) -> None:
        given = [name for name in ("json", "data", "content") if getattr(self, name) is not None]
        if len(given) > 1:
            raise _invalid(f"{' and '.join(given)} are given; a request has one body")
        if self.content is not None and not isinstance(self.content, (bytes, bytearray, memoryview, str)):
            raise _invalid(f"content takes bytes or text, not {type(self.content).__name__}")
        if self.data is not None:
            self.body()

    @classmethod
    def from_mapping(cls, row: Mapping[str, JsonValue]) -> "Request":
        """Create a request from a dict, such as a line of JSONL.

        Args:
            row: The arguments by name, and `content_base64` for bytes.

        Raises:
            InvalidRequest: No `url`, an unknown key, or a value of the wrong type; code `input.row`.
        """
        unknown = row.keys() - REQUEST_KEYS
        if unknown:
            names = ", ".join(sorted(repr(key) for key in unknown))
            raise _invalid(f"unknown key {names}; a request has {', '.join(sorted(REQUEST_KEYS))}")
        if "url" not in row:
            raise _invalid("the row has no url")
        if "content_base64" not in row:
            return cls(**row)
        values = dict(row)
        encoded = values.pop("content_base64")
        if encoded is not None:
            if values.get("content") is not None:
                raise _invalid("content and content_base64 are given; a request has one body")
            values["content"] = _from_base64(encoded)
        return cls(**values)

    def encoded_params(self) -> str | None:
        """Return the query parameters as sent, without the URL's own; None if there are none."""
        if self.params is None:
            return None
        try:
            return wire.query_string(self.params)
        except (TypeError, ValueError) as error:
            raise _invalid(str(error)) from error

    def header_items(self) -> list[tuple[str, str]]:
        """Return the header fields as sent: headers, cookies, credentials and the body's content type."""
        try:
            pairs = wire.rendered(self.headers, self.cookies, self.auth)
        except (TypeError, ValueError) as error:
            raise _invalid(str(error)) from error
        content_type = None
        if self.json is not None:
            content_type = "application/json"
        elif self.data is not None:
            content_type = "application/x-www-form-urlencoded"
        if content_type is not None and not wire.has_field(pairs, "content-type"):
            pairs.append(("content-type", content_type))
        return pairs

    def body(self) -> bytes | None:
        """Return the bytes to send; None without a body.

        Raises:
            InvalidRequest: `json` cannot be serialized.
        """
        try:
            if self.json is not None:
                return _json_text(self.json).encode()
            if self.data is not None:
                return wire.form_body(self.data)
            if isinstance(self.content, str):
                return self.content.encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise _invalid(str(error)) from error
        return None if self.content is None else bytes(self.content)

    def meta_json(self) -> str | None:
        """Return `meta` as JSON text for the result table; other types become their `str`, and NaN null.

        Raises:
            InvalidRequest: JSON cannot hold it: a cycle, keys that are not text, half of a surrogate pair.
        """
        if self.meta is None:
            return None
        try:
            try:
                text = _json_text(self.meta, default=str)
            except ValueError:
                text = _json_text(_without_nan(self.meta), default=str)
        except Exception as error:  # `str` of a caller's object may raise anything
            raise _invalid(f"meta: {error}") from error
        if not checks.is_text(text):
            raise _invalid("meta contains half of a surrogate pair")
        return text


REQUEST_KEYS = frozenset(field.name for field in fields(Request)) | {"content_base64"}
"""The keys of a row that describes a request, in JSONL, CSV and tables."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of the input that is not a request. It becomes a failed result, and is never sent.

    Attributes:
        code: "input.row" or "input.truncated".
        detail: An explanation for people.
        line: The line of the file, counted from 1, if there is one; the engine puts it before the detail.
        text: The beginning of the row's text.
    """

    code: str
    detail: str
    line: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Withheld:
    """A request that must not be sent. It becomes a failed result of its own.

    Attributes:
        request: The request.
        code: The reason, as an error code.
        detail: An explanation for people.
    """

    request: Request
    code: str
    detail: str


Row: TypeAlias = str | Request | BadRow
"""A row that a source yields and a job takes."""


@dataclass(frozen=True, slots=True)
class Conditional:
    """A request with header fields that ask whether an earlier answer still holds.

    Attributes:
        request: The request.
        headers: The fields. They are sent to one URL only, wherever redirects lead.
        url: That URL; None: the first URL that is requested.
    """

    request: str | Request
    headers: tuple[tuple[str, str], ...]
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """A row and its later copies: the request is sent once, and each of them gets the answer.

    Attributes:
        index: The row's position in the input.
        row: The request to send, with or without conditions, or to withhold.
        copies: Position and row of each copy; none of them is a BadRow.
    """

    index: int
    row: Row | Conditional | Withheld
    copies: tuple[tuple[int, str | Request], ...] = ()


@dataclass(frozen=True, slots=True)
class Hop:
    """One redirect that was followed: where the response came from and its status."""

    url: str
    status: int


AttemptEnd: TypeAlias = Literal["unsent", "refused", "unknown", "answered"]
"""What is known of an attempt that has ended; see `Attempt`."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a request.

    Attributes:
        status: The response's status, None without a response.
        code: The error's code; None if a whole response arrived.
        start: Seconds since the Unix epoch at which the attempt began.
        seconds: How long it took.
        wait: Seconds waited before it, after a failure or a refusal; 0 for the first.
        ended: How it ended. "unsent": no server can have processed it. "refused": the host refused it because
            it gets too many requests. "unknown": sent, without a whole response. "answered".
    """

    status: int | None
    code: str | None
    start: float
    seconds: float
    wait: float = 0.0
    ended: AttemptEnd = "answered"


@dataclass(frozen=True, slots=True)
class Timings:
    """How long each phase of the last attempt took, in seconds; None if a phase did not happen.

    `total` runs from the moment the attempt got a slot to the last byte. It does not include `queue`.
    """

    queue: float | None = None
    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None
    body: float | None = None
    total: float | None = None


class Headers(Mapping[str, str]):
    """Header fields: case-insensitive, in order, duplicates kept.

    `headers["name"]` joins duplicates with ", " (RFC 9110, section 5.3); `get_list` keeps them apart, which
    Set-Cookie needs.

    Example:
        >>> Headers([("set-cookie", "a=1"), ("set-cookie", "b=2")]).get_list("Set-Cookie")
        ['a=1', 'b=2']
    """

    __slots__ = ("_by_name", "_pairs")

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        """Keep the pairs; the first look-up builds the index by name."""
        self._pairs = pairs
        self._by_name: dict[str, list[str]] | None = None

    def _index(self) -> dict[str, list[str]]:
        if self._by_name is None:
            by_name: dict[str, list[str]] = {}
            for name, value in self._pairs:
                by_name.setdefault(name.lower(), []).append(value)
            self._by_name = by_name
        return self._by_name

    def __getitem__(self, name: str) -> str:
        """Return the field's value, duplicates joined with ", "."""
        return ", ".join(self._index()[name.lower()])

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names in lower case, each once."""
        return iter(self._index())

    def __len__(self) -> int:
        """Return how many different names there are."""
        return len(self._index())

    def __contains__(self, name: object) -> bool:
        """Whether a field of this name, in any case, is present."""
        return isinstance(name, str) and name.lower() in self._index()

    def __eq__(self, other: object) -> bool:
        """Compare values by name, in any case; the order of different names does not matter."""
        if isinstance(other, Headers):
            return self._index() == other._index()
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def get_list(self, name: str) -> list[str]:
        """Return every value of a field, in order; an empty list if it is absent."""
        return list(self._index().get(name.lower(), ()))

    def multi_items(self) -> list[tuple[str, str]]:
        """Return every field as received: name and value, in order, duplicates included."""
        return list(self._pairs)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by the pairs."""
        return Headers, (self._pairs,)

    def __repr__(self) -> str:
        """Show the pairs."""
        return f"Headers({self._pairs!r})"


_MAY_BE_SECRET = frozenset({"params", "headers", "cookies", "json", "data", "content", "auth", "meta"})


def _invalid(detail: str) -> InvalidRequest:
    return InvalidRequest("input.row", detail)


def _id_text(value: object) -> str:
    if isinstance(value, str):
        if not checks.is_text(value):
            raise _invalid("id contains half of a surrogate pair")
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return str(value)
        except ValueError as error:  # more digits than Python converts
            raise _invalid(f"id: {error}") from error
    raise _invalid(f"id takes text or a whole number, not {type(value).__name__}")


def _is_positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= checks.LONGEST_S


def _json_text(value: JsonValue, default: Callable[[object], str] | None = None) -> str:
    from json import dumps

    return dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=default)


def _without_nan(value: JsonValue) -> JsonValue:
    """Return a value with null for NaN and infinity, which tables may contain and JSON may not."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value


def _from_base64(text: object) -> bytes:
    from base64 import b64decode

    if not isinstance(text, str):
        raise _invalid(f"content_base64 takes text, not {type(text).__name__}")
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise _invalid(f"content_base64: {error}") from error
