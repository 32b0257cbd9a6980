"""The body of a response: its bytes, and a view of them."""

import gc

import pytest

import hurtle
from hurtle._engine import Response
from tests.formats.raw_server import RawServer

SIZES = [0, 1, 4095, 4096, 300_000]


def bodies() -> list[tuple[bytes, Response]]:
    """Fetch a body of each size."""
    sent = {f"/{size}": bytes(number % 251 for number in range(size)) for size in SIZES}
    pages = {
        path: b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
        for path, body in sent.items()
    }
    with RawServer(pages) as server:
        found = list(hurtle.fetch([server.base + path for path in sent], concurrency=2, retries=0))
    assert all(response.ok for response in found)
    return list(zip(sent.values(), found, strict=True))


def test_a_view_shows_the_bytes_and_is_read_only() -> None:
    for body, response in bodies():
        view = response.content_view
        assert (view.tobytes(), view.format, view.ndim, view.readonly) == (body, "B", 1, True)
        if body:
            with pytest.raises(TypeError):
                view[0] = 1
        # Whichever is asked for first, both are the body.
        assert response.content == body
        assert response.content_view == body


def test_a_view_outlives_its_response() -> None:
    views = [(body, response.content_view) for body, response in bodies()]
    gc.collect()
    assert all(view == body for body, view in views)


def test_text_and_encoding_are_those_of_the_content() -> None:
    for body, response in bodies():
        text, encoding = response.text, response.encoding
        assert response.content == body
        assert (text, encoding) == (response.text_as(encoding), "utf-8")
        assert text == body.decode("utf-8", "replace")
