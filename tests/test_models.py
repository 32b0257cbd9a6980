"""Requests and the parts of responses: plain data, checked when it is created."""

import json
import pickle
from typing import Any

import pytest

from hurtle.errors import InvalidRequest
from hurtle.models import Headers, Request


def test_a_request_is_written_in_its_one_form() -> None:
    request = Request("http://a/", "post", id=4, auth=["user", "pass"])  # type: ignore[arg-type]
    assert (request.method, request.id, request.auth) == ("POST", "4", ("user", "pass"))
    assert pickle.loads(pickle.dumps(request)) == request


@pytest.mark.parametrize(
    ("given", "body", "content_type"),
    [
        ({"json": {"é": [1, None]}}, '{"é":[1,null]}'.encode(), "application/json"),
        ({"json": False}, b"false", "application/json"),
        ({"data": {"a": "b c", "n": [1, 2]}}, b"a=b+c&n=1&n=2", "application/x-www-form-urlencoded"),
        ({"data": [("a", "1"), ("a", "2")]}, b"a=1&a=2", "application/x-www-form-urlencoded"),
        ({"content": "é"}, "é".encode(), None),
        ({"content": b"\x00"}, b"\x00", None),
        ({}, None, None),
    ],
)
def test_a_body_is_rendered_with_its_content_type(
    given: dict[str, Any], body: bytes | None, content_type: str | None
) -> None:
    request = Request("http://a/", "POST", **given)
    assert request.body() == body
    assert dict(request.header_items()).get("content-type") == content_type


def test_a_content_type_of_the_callers_wins() -> None:
    request = Request("http://a/", json={}, headers={"Content-Type": "application/vnd.api+json"})
    assert request.header_items() == [("Content-Type", "application/vnd.api+json")]


def test_headers_cookies_and_credentials_are_rendered_in_order() -> None:
    request = Request("http://a/", headers=[("X", "1"), ("X", "2")], cookies={"c": "d"}, auth="token")
    assert request.header_items() == [
        ("X", "1"),
        ("X", "2"),
        ("cookie", "c=d"),
        ("authorization", "Bearer token"),
    ]


@pytest.mark.parametrize(
    ("params", "encoded"),
    [({"q": "a&b"}, "q=a%26b"), ([("a", 1), ("a", 2)], "a=1&a=2"), ("?x=1", "x=1"), ({}, None), (None, None)],
)
def test_params_are_encoded(params: Any, encoded: str | None) -> None:
    assert Request("http://a/", params=params).encoded_params() == encoded


@pytest.mark.parametrize(
    "given",
    [
        {"url": 3},
        {"url": "http://\ud800/"},
        {"method": ""},
        {"method": None},
        {"method": "GÊT"},
        {"json": 1, "data": {}},
        {"content": 3},
        {"data": "a=b"},
        {"headers": "a: b"},
        {"headers": {"a": 1}},
        {"headers": [("a",)]},
        {"cookies": {"a": "b; c=d"}},
        {"cookies": {"a": "b"}, "headers": {"Cookie": "c=d"}},
        {"auth": ("a",)},
        {"auth": "t", "headers": {"authorization": "x"}},
        {"params": 3},
        {"timeout": 0},
        {"timeout": "3"},
        {"id": 1.5},
        {"id": 10**5000},
        {"id": "\ud800"},
        {"headers": {"a": "\ud800"}},
        {"headers": [{"name": "a"}]},
        {"auth": "\ud800"},
        {"auth": ("\ud800", "")},
        {"params": "\ud800"},
        {"params": {"a": "\ud800"}},
        {"priority": "high"},
    ],
)
def test_a_wrong_shape_is_refused_when_the_request_is_made(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Request(**({"url": "http://a/"} | given))
    assert caught.value.code == "input.row"


@pytest.mark.parametrize("value", [float("nan"), object(), "\ud800"])
def test_json_that_does_not_serialise_is_refused_when_it_is_sent(value: object) -> None:
    request = Request("http://a/", json=value)
    with pytest.raises(InvalidRequest):
        request.body()


def test_a_mapping_becomes_a_request() -> None:
    request = Request.from_mapping({"url": "http://a/", "content_base64": "AAE=", "meta": {"k": 1}})
    assert (request.content, request.meta) == (b"\x00\x01", {"k": 1})


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"uri": "http://a/"}, "unknown key 'uri'"),
        ({}, "no url"),
        ({"url": "http://a/", "content_base64": "!"}, "content_base64"),
        ({"url": "http://a/", "content_base64": 3}, "content_base64"),
        ({"url": "http://a/", "content_base64": "AA==", "content": "x"}, "one body"),
        ({"url": "http://a/", "content_base64": "AA==", "json": 1}, "one body"),
    ],
)
def test_a_mapping_that_is_no_request_is_refused(row: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        Request.from_mapping(row)


def test_meta_is_json_even_when_json_does_not_know_a_value() -> None:
    assert Request("http://a/").meta_json() is None
    assert json.loads(Request("http://a/", meta={"k": {1}}).meta_json() or "") == {"k": "{1}"}


def test_meta_that_has_no_json_is_an_invalid_request() -> None:
    circle: list[object] = []
    circle.append(circle)

    class Mute:
        def __str__(self) -> str:
            raise OSError("mine")

    bad: Any
    for bad in (circle, {(1, 2): 3}, "\ud800", {"k": Mute()}):
        with pytest.raises(InvalidRequest, match="meta"):
            Request("http://a/", meta=bad).meta_json()


def test_a_number_that_json_cannot_hold_is_null_in_meta() -> None:
    text = Request("http://a/", meta={"k": [float("nan"), 1.5, float("inf")]}).meta_json()
    assert text == '{"k":[null,1.5,null]}'


def test_headers_as_the_result_table_writes_them_are_taken() -> None:
    fields = [{"name": "X", "value": "1"}, {"name": "X", "value": "2"}]
    assert Request("http://a/", headers=fields).header_items() == [("X", "1"), ("X", "2")]


def test_headers_ignore_case_and_keep_order_and_duplicates() -> None:
    pairs = [("Set-Cookie", "a=1"), ("x", "y"), ("set-cookie", "b=2")]
    headers = Headers(pairs)
    assert headers["SET-COOKIE"] == "a=1, b=2"
    assert headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert headers.get_list("absent") == []
    assert headers.multi_items() == pairs
    assert list(headers) == ["set-cookie", "x"]
    assert len(headers) == 2
    assert "X" in headers
    assert "z" not in headers
    assert headers.get("z", "none") == "none"
    assert headers == Headers([("x", "y"), ("set-cookie", "a=1"), ("set-cookie", "b=2")])
    assert headers != Headers([("x", "y")])
    assert pickle.loads(pickle.dumps(headers)) == headers
