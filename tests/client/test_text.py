"""Bodies as text and as JSON: the encodings that headers, marks and documents name."""

import codecs
import json
from pathlib import Path
from typing import Any

import pytest

import hurtle
from hurtle._engine import Response
from tests.formats.raw_server import RawServer
from tests.refresh.validating_server import Page, ValidatingServer

HTML = "text/html"
MIR = "\u041c\u0438\u0440"
RENE = {"name": "Ren\u00e9"}


def answers(bodies: list[tuple[str | None, bytes]]) -> list[Response]:
    """Fetch bodies from a server that sends them with these content types."""
    pages = {}
    for number, (content_type, body) in enumerate(bodies):
        field = b"" if content_type is None else b"content-type: %s\r\n" % content_type.encode("latin-1")
        pages[f"/{number}"] = b"HTTP/1.1 200 OK\r\n%scontent-length: %d\r\n\r\n%s" % (field, len(body), body)
    with RawServer(pages) as server:
        found = list(hurtle.fetch([server.base + path for path in pages], concurrency=4, retries=0))
    assert all(response.ok for response in found)
    return found


def answer(content_type: str | None, body: bytes) -> Response:
    return answers([(content_type, body)])[0]


def test_text_is_in_the_encoding_that_is_named_first() -> None:
    meta = '<meta charset="windows-1251"><p>'
    cases = [
        # A byte order mark, whatever else is said, and it is no part of the text.
        ("text/html; charset=koi8-r", codecs.BOM_UTF8 + (meta + MIR).encode(), "utf-8", meta + MIR),
        (HTML, MIR.encode("utf-16"), "utf-16le", MIR),
        ("image/png", codecs.BOM_UTF16_BE + MIR.encode("utf-16-be"), "utf-16be", MIR),
        # The charset of Content-Type.
        ("text/html; charset=koi8-r", (meta + MIR).encode("koi8-r"), "koi8-r", meta + MIR),
        ("text/plain; charset=big5", "\u4e2d".encode("big5"), "big5", "\u4e2d"),
        # What the document says, in the way of its type.
        (HTML, (meta + MIR).encode("cp1251"), "windows-1251", meta + MIR),
        (None, (meta + MIR).encode("cp1251"), "windows-1251", meta + MIR),
        ("Application/XHTML+xml;x=y", (meta + MIR).encode("cp1251"), "windows-1251", meta + MIR),
        ("text/plain", meta.encode(), "utf-8", meta),
        ("application/rss+xml", b"<?xml version='1.0' encoding='latin1'?>\xe9", "windows-1252", None),
        ("text/xml", meta.encode(), "utf-8", meta),
        ("application/json", '{"a":1}'.encode("utf-16-le"), "utf-16le", '{"a":1}'),
        ("application/ld+json", '{"a":1}'.encode("utf-16-be"), "utf-16be", '{"a":1}'),
        # Nothing.
        ("text/css", MIR.encode(), "utf-8", MIR),
        (None, b"", "utf-8", ""),
    ]
    found = answers([case[:2] for case in cases])
    for response, (content_type, body, encoding, text) in zip(found, cases, strict=True):
        assert response.encoding == encoding, (content_type, body)
        assert text is None or response.text == text, (content_type, body)
    assert found[9].text.endswith("\u00e9")


@pytest.mark.parametrize(
    "label",
    [
        "undefined", "idna", "punycode", "base64", "hex", "rot13", "zlib", "bz2", "uu", "quopri", "mbcs",
        "unicode_escape", "raw_unicode_escape", "utf-7", "cp037", "none", "\u00e9", "", "'", '"', "x" * 5000,
        "iso-2022-kr", "replacement",
    ],
)  # fmt: skip
def test_a_charset_that_is_none_is_passed_over(label: str) -> None:
    page = f"<meta charset=cp1251>{MIR}".encode("cp1251")
    html, plain = answers([(f"text/html; charset={label}", page), (f"text/plain;charset={label}", b"a\xe9")])
    assert (html.encoding, html.text[-3:]) == ("windows-1251", MIR)
    assert (plain.encoding, plain.text) == ("utf-8", "a\ufffd")


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("text/plain; charset=latin1", "windows-1252"),
        ("text/plain; charset=US-ASCII", "windows-1252"),
        ("text/plain; charset=ISO-8859-15", "iso-8859-15"),
        ("text/plain; charset=x-sjis", "shift_jis"),
        ("text/plain; charset=gb2312", "gbk"),
        ("text/plain;CharSet = 'KOI8-R'", "koi8-r"),
        ('text/plain; charset="euc-kr"; x=y', "euc-kr"),
        ('text/plain; x="; charset=big5"; charset=euc-jp', "euc-jp"),
        ("text/plain; x; charset=koi8-r; charset=big5", "koi8-r"),
        ("text/plain; charset=koi8-r, text/html", "koi8-r"),
        ("text/plain; charset=utf-16", "utf-16le"),
        ("text/plain charset=koi8-r", "utf-8"),
    ],
)
def test_labels_mean_what_they_mean_to_browsers(content_type: str, encoding: str) -> None:
    assert answer(content_type, b"x").encoding == encoding


def test_text_as_is_in_the_encoding_of_the_caller() -> None:
    body = "\u3053\u3053\u308d".encode("shift_jis")
    response = answer("text/html; charset=utf-8", body)
    assert "\ufffd" in response.text
    assert response.text_as("shift_jis") == response.text_as(" SJIS ") == "\u3053\u3053\u308d"
    assert (response.encoding, response.text_as("latin1")[0]) == ("utf-8", "\u201a")
    assert answer(None, codecs.BOM_UTF8 + b"a").text_as("utf-8") == "a"
    for label in ("nonsense", "", "idna", "replacement"):
        with pytest.raises(ValueError, match=f'text_as: "{label}" is not a label'):
            response.text_as(label)


def test_json_is_in_the_declared_charset() -> None:
    text = json.dumps(RENE, ensure_ascii=False)
    declared = "application/json; charset="
    cases = [
        (declared + "ISO-8859-1", text.encode("latin-1")),
        (declared + "shift_jis", '{"name": "\u3053"}'.encode("shift_jis")),
        (declared + "utf-8", text.encode()),
        (declared + "nonsense", text.encode()),
        (declared + "latin1", codecs.BOM_UTF8 + text.encode()),
        *(("application/json", text.encode(name)) for name in ("utf-8", "utf-8-sig", "utf-16", "utf-32")),
        *(("application/json", text.encode(name)) for name in ("utf-16-le", "utf-16-be", "utf-32-be")),
        (None, text.encode()),
    ]
    for case, response in zip(cases, answers(cases), strict=True):
        assert response.json() == ({"name": "\u3053"} if "shift_jis" in str(case) else RENE), case


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json; charset=shift_jis", b'"\x81"'),
        ("application/json; charset=utf-8", b'"\xe9"'),
        ("application/json", b'"\xe9"'),
        ("application/json; charset=latin1", b"{"),
    ],
)
def test_json_that_is_not_in_its_charset_is_a_value_error(content_type: str, body: bytes) -> None:
    response = answer(content_type, body)
    assert isinstance(response.text, str)
    with pytest.raises(ValueError, match=r"not shift_jis|can't decode|Expecting"):
        response.json()


PRESCANNED = [
    (b"<meta charset=shift_jis>", "shift_jis"),
    (b"<META/charset='Big5'>", "big5"),
    (b"<meta charset = \t koi8-r >", "koi8-r"),
    (b"<meta name=x><meta\ncharset=koi8-r/>", "utf-8"),
    (b"<meta charset=nonsense><meta charset=koi8-r>", "koi8-r"),
    (b"<meta charset=koi8-r charset=big5>", "koi8-r"),
    (b"<meta charset=utf-16>", "utf-8"),
    (b"<meta charset=x-user-defined>", "windows-1252"),
    (b"<metal charset=koi8-r>", "utf-8"),
    (b"<meta charset=koi8-r", "utf-8"),
    (b"<meta charset='koi8-r>", "utf-8"),
    # http-equiv and content, in either order; content alone does not count.
    (b"<meta http-equiv=Content-Type content='text/html; charset=koi8-r'>", "koi8-r"),
    (b'<meta content="text/html; charset=koi8-r" http-equiv="content-type">', "koi8-r"),
    (b"<meta content='text/html; charset=koi8-r'>", "utf-8"),
    (b"<meta http-equiv=refresh content='0; charset=koi8-r'>", "utf-8"),
    (b"<meta http-equiv=content-type content='charset charset = \"koi8-r\" x'>", "koi8-r"),
    (b"<meta http-equiv=content-type content='charset=\"koi8-r'>", "utf-8"),
    (b"<meta http-equiv=content-type content='charset=koi8-r;x'>", "koi8-r"),
    (b"<meta http-equiv=content-type content='CHARSET=koi8-r' charset=big5>", "big5"),
    (b"<meta charset=big5 http-equiv=content-type content='charset=koi8-r'>", "big5"),
    (b"<meta charset=nonsense http-equiv=content-type content='charset=koi8-r'>", "utf-8"),
    # Where no tag is read: comments, other tags' attributes, declarations.
    (b"<!-- <meta charset=big5> --><meta charset=koi8-r>", "koi8-r"),
    (b"<!--><meta charset=koi8-r>-->", "koi8-r"),
    (b"<!-- <meta charset=koi8-r>", "utf-8"),
    (b"<p title='<meta charset=big5>'><meta charset=koi8-r>", "koi8-r"),
    (b'<p title="<meta charset=big5>" =x a/b><meta charset=koi8-r>', "koi8-r"),
    (b"</p title='<meta charset=big5>'><meta charset=koi8-r>", "koi8-r"),
    (b"<!doctype html '<meta charset=koi8-r>'>", "utf-8"),
    (b"<? <meta charset=big5><meta charset=koi8-r>", "koi8-r"),
    (b"<script>'<meta charset=koi8-r>'</script>", "koi8-r"),
    (b"a < b <3 <meta charset=koi8-r>", "koi8-r"),
    # An XML declaration is the last that is asked, and UTF-16 the first.
    (b"<?xml version='1.0' encoding='koi8-r'?>", "koi8-r"),
    (b"<?xml version='1.0' encoding \n= \"koi8-r\"?><html>", "koi8-r"),
    (b"<?xml version='1.0' encoding='koi8-r'?><meta charset=big5>", "big5"),
    (b"<?xml encoding='utf-16be'?>", "utf-8"),
    (b"<?xml encoding=koi8-r?>", "utf-8"),
    (b"<?xml encoding=' koi8-r'?>", "utf-8"),
    (b"<?xml encoding='koi8-r'", "utf-8"),
    (b" <?xml encoding='koi8-r'?>", "utf-8"),
    ("<?xml version='1.0'?>".encode("utf-16-le"), "utf-16le"),
    ("<?xml version='1.0'?>".encode("utf-16-be"), "utf-16be"),
    # The first 1,024 bytes.
    (b" " * 1000 + b"<meta charset=koi8-r>"[:24].ljust(24), "koi8-r"),
    (b" " * 1003 + b"<meta charset=koi8-r>", "koi8-r"),
    (b" " * 1004 + b"<meta charset=koi8-r>", "utf-8"),
]


def test_documents_are_prescanned_as_the_html_standard_says() -> None:
    found = answers([(HTML, body) for body, _ in PRESCANNED])
    seen = [(body, response.encoding) for response, (body, _) in zip(found, PRESCANNED, strict=True)]
    assert seen == PRESCANNED


@pytest.mark.parametrize("out", ["out.jsonl", "out.parquet", "out.warc.gz", "out.sqlite", "files/"])
def test_a_stored_run_reads_the_same_text(out: str, tmp_path: Path) -> None:
    pages = {
        "/meta": Page(f"<meta charset=cp1251>{MIR}".encode("cp1251"), etag='"1"', deflated=True),
        "/plain": Page(MIR.encode(), etag='"2"'),
        "/empty": Page(b"", etag='"3"'),
    }
    more: dict[str, Any] = {"format": "jsonl", "bodies": "apart"} if out == "files/" else {}
    with ValidatingServer() as site:
        site.pages = pages
        urls = [site.url(path) for path in pages]
        texts = [response.text for response in hurtle.fetch(urls)]
        hurtle.run(urls, f"{tmp_path}/{out}", **more)
        hurtle.run(urls, tmp_path / "later.jsonl", since=f"{tmp_path}/{out}")
    assert texts == [f"<meta charset=cp1251>{MIR}", MIR, ""]
    for run in (hurtle.open_run(f"{tmp_path}/{out}"), hurtle.open_run(tmp_path / "later.jsonl")):
        assert [run.text(row) for row in sorted(run, key=lambda row: int(row["index"]))] == texts
