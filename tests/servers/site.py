"""The small site that every server serves, and what must arrive of it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import trustme

SMALL, LARGE, PAGE, CHUNKED = "/small.txt", "/large.bin", "/page.html", "/chunked.txt"

_NO_TEXT = b'<!--#set var="a" value="b" -->'
"""A directive of server-side includes that leaves nothing behind: what has one is sent chunked."""


@dataclass(frozen=True, slots=True)
class Site:
    """A folder with files.

    Attributes:
        folder: The files.
        bodies: What each path has to give.
        authority: The certificate to trust; the server's own is in `cert.pem` beside the folder.
    """

    folder: Path
    bodies: dict[str, bytes]
    authority: Path


def make_site(place: Path) -> Site:
    """Write the files, which are the same each time, and a certificate."""
    choose = random.Random(12)
    words = [b"lorem", b"ipsum", b"dolor", b"sit", b"amet", b"consectetur", b"adipiscing", b"elit"]
    prose = b" ".join(choose.choice(words) for _ in range(12_000))
    bodies = {
        SMALL: b"a small text\n" * 64,
        LARGE: choose.randbytes(4 << 20),
        PAGE: b"<!doctype html><title>page</title><p>" + prose,
        CHUNKED: prose[:30_000] + b"\n",
    }
    folder = place / "site"
    folder.mkdir()
    for path, body in bodies.items():
        (folder / path[1:]).write_bytes(body)
    (folder / "chunked.shtml").write_bytes(bodies[CHUNKED] + _NO_TEXT)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(place / "ca.pem"))
    own = authority.issue_cert("127.0.0.1", "localhost")
    own.private_key_and_cert_chain_pem.write_to_path(str(place / "cert.pem"))
    own.private_key_pem.write_to_path(str(place / "key.pem"))
    for one in [place, *place.rglob("*")]:
        one.chmod(0o755 if one.is_dir() else 0o644)  # some servers change to a user of their own
    return Site(folder, bodies, place / "ca.pem")
