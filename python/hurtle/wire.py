"""Encode params, header fields, cookies, credentials and forms for the wire.

Pure functions. A value of the wrong type raises TypeError, and one that cannot be sent raises ValueError. The
message fits both an option and a request; the callers add where the value came from.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool | None
Params: TypeAlias = str | Mapping[str, Scalar | Sequence[Scalar]] | Sequence[tuple[str, Scalar]]
HeaderPairs: TypeAlias = Mapping[str, str] | Sequence[tuple[str, str]] | Sequence[Mapping[str, str]]
"""A mapping, pairs, or fields as the result table writes them: {"name": …, "value": …}."""

Auth: TypeAlias = str | tuple[str, str]
Form: TypeAlias = Mapping[str, Scalar | Sequence[Scalar]] | Sequence[tuple[str, Scalar]]


def query_string(params: Params) -> str | None:
    """Encode query parameters.

    Args:
        params: A mapping (a list as value repeats the name), pairs, or text that is already encoded. A value
            of None leaves its name out; True and False become "true" and "false".

    Returns:
        The query without its question mark; None if it is empty.

    Source: https://url.spec.whatwg.org/#urlencoded-serializing
    """
    if isinstance(params, str):
        return _text(params, "params").removeprefix("?") or None
    from urllib.parse import urlencode

    return urlencode(list(_flat(params, "params"))) or None


def form_body(data: Form) -> bytes:
    """Encode a form as application/x-www-form-urlencoded."""
    if isinstance(data, (str, bytes, bytearray)):
        raise TypeError("data takes a mapping or pairs; send text or bytes with content=")
    from urllib.parse import urlencode

    return urlencode(list(_flat(data, "data"))).encode("ascii")


def header_list(headers: HeaderPairs) -> list[tuple[str, str]]:
    """Return header fields as pairs, in order, duplicates kept.

    The bytes are not checked here: the engine refuses forbidden ones (CR, LF, NUL) for that row alone.
    """
    return [
        (_text(name, "headers: a name"), _text(value, f"headers: {name!r}"))
        for name, value in _field_pairs(headers)
    ]


def cookie_header(cookies: Mapping[str, str]) -> str:
    """Return the value of a Cookie header.

    Source: RFC 6265, section 4.2.1.
    """
    if not isinstance(cookies, Mapping):
        raise TypeError(f"cookies takes a mapping of names to values, not {type(cookies).__name__}")
    parts = []
    for name, value in cookies.items():
        part = f"{_text(name, 'cookies: a name')}={_text(value, f'cookies: {name!r}')}"
        if ";" in part or "=" in name or not part.isprintable():
            raise ValueError(f"cookies: {name!r} contains a character that is not allowed in a cookie")
        parts.append(part)
    return "; ".join(parts)


def authorization(auth: Auth) -> str:
    """Return the value of an Authorization header: Basic for (user, password), Bearer for a token.

    Source: RFC 7617, section 2 (UTF-8); RFC 6750, section 2.1.
    """
    if isinstance(auth, str):
        return f"Bearer {_text(auth, 'auth')}"
    match auth:
        case (str(user), str(password)):
            if ":" in user:
                raise ValueError("auth: a user name must not contain a colon")
            from base64 import b64encode

            pair = f"{_text(user, 'auth')}:{_text(password, 'auth')}"
            return "Basic " + b64encode(pair.encode()).decode("ascii")
    raise TypeError("auth takes (user, password) or a bearer token as text")


def has_field(pairs: Iterable[tuple[str, str]], name: str) -> bool:
    """Whether a header field is present, by its lower-case name."""
    return any(field.lower() == name for field, _ in pairs)


def rendered(
    headers: HeaderPairs | None, cookies: Mapping[str, str] | None, auth: Auth | None
) -> list[tuple[str, str]]:
    """Return headers, cookies and credentials as one list of header fields."""
    pairs = header_list(headers) if headers is not None else []
    if cookies:
        if has_field(pairs, "cookie"):
            raise ValueError("cookies and a Cookie header are given; give one of them")
        pairs.append(("cookie", cookie_header(cookies)))
    if auth is not None:
        if has_field(pairs, "authorization"):
            raise ValueError("auth and an Authorization header are given; give one of them")
        pairs.append(("authorization", authorization(auth)))
    return pairs


def _field_pairs(values: object) -> Iterable[tuple[object, object]]:
    if isinstance(values, Mapping):
        return values.items()
    if isinstance(values, Sequence) and not isinstance(values, (str, bytes)):
        return (_field_pair(item) for item in values)
    raise TypeError(f"headers takes a mapping or pairs, not {type(values).__name__}")


def _field_pair(item: object) -> tuple[object, object]:
    """Return name and value, also of {"name": …, "value": …}, the form in the result table."""
    if isinstance(item, Mapping) and item.keys() == {"name", "value"}:
        return item["name"], item["value"]
    return _pair(item)


def _pair(item: object) -> tuple[object, object]:
    if isinstance(item, Sequence) and not isinstance(item, (str, bytes)) and len(item) == 2:
        return item[0], item[1]
    raise TypeError(f"expected a pair (name, value), not {type(item).__name__}")


def _flat(values: object, what: str) -> Iterable[tuple[str, str]]:
    if isinstance(values, Mapping):
        items: Iterable[tuple[object, object]] = values.items()
    elif isinstance(values, Sequence) and not isinstance(values, (str, bytes)):
        items = (_pair(item) for item in values)
    else:
        raise TypeError(f"{what} takes a mapping or pairs, not {type(values).__name__}")
    for name, value in items:
        many = value if isinstance(value, (list, tuple)) else (value,)
        for one in many:
            if one is not None:
                yield _text(name, f"{what}: a name"), _scalar(one, f"{what}: {name!r}")


def _scalar(value: object, what: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return _text(str(value), what)
    raise TypeError(f"{what} takes text or a number, not {type(value).__name__}")


def _text(value: object, what: str) -> str:
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError(f"{what} contains half of a surrogate pair") from None
        return value
    raise TypeError(f"{what} takes text, not {type(value).__name__}")
