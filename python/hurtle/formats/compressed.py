"""Compressed JSON lines: a file is one gzip member or one zstd frame, so that files can be concatenated."""

import gzip
import io
import sys
import zlib
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from hurtle import checks
from hurtle.errors import MissingExtraError
from hurtle.formats.base import BLOCK, EndToEnd, Format, reading_back
from hurtle.formats.jsonl import Jsonl, StoredLines
from hurtle.formats.line_writer import LinesWriter
from hurtle.formats.stored import damage
from hurtle.formats.writer import Writer
from hurtle.rows import Rows

GZIP_LEVEL = 6
GZIP_LEVELS = frozenset("123456789")
ZSTD_LEVEL = 3
GZIP = 31
"""zlib's `wbits` for gzip's head and tail around the largest window. Source: zlib.h, deflateInit2."""


GZIP_MARK = b"\x1f\x8b"
"""What a gzip file begins with. Source: RFC 1952, section 2.3.1."""

ZSTD_MARK = b"\x28\xb5\x2f\xfd"
"""What a zstd file begins with. Source: RFC 8878, section 3.1.1."""


class Compressor(ABC):
    """Compresses a stream. Not thread-safe."""

    @abstractmethod
    def add(self, data: bytes) -> bytes:
        """Add data, and return what is ready."""

    @abstractmethod
    def end(self) -> bytes:
        """Return the rest; nothing can be added after that."""


class CompressedWriter(LinesWriter):
    """Writes the engine's lines through a compressor.

    Args:
        path: A file; "-" is stdout.
        compressor: A new one.
    """

    def __init__(self, path: str, compressor: Compressor) -> None:
        super().__init__(path)
        self._compressor = compressor

    def _encoded(self, rows: Rows) -> bytes:
        return self._compressor.add(rows.to_jsonl())

    def _tail(self) -> bytes:
        return self._compressor.end()


class GzipCompressor(Compressor):
    """One gzip member, without a time or a name: equal rows give equal bytes.

    Args:
        level: From 1, the fastest, to 9.
    """

    def __init__(self, level: int = GZIP_LEVEL) -> None:
        self._deflate = zlib.compressobj(level, zlib.DEFLATED, GZIP)

    def add(self, data: bytes) -> bytes:
        """Add data, and return what is ready."""
        return self._deflate.compress(data)

    def end(self) -> bytes:
        """Return the rest."""
        return self._deflate.flush()


class ZstdCompressor(Compressor):
    """One zstd frame, by Python 3.14's own library or, before that, pyarrow's."""

    def __init__(self) -> None:
        self._ready = _Ready()
        self._stream: Any = _zstd_writer(self._ready)

    def add(self, data: bytes) -> bytes:
        """Add data, and return what is ready."""
        self._stream.write(data)
        return self._ready.taken()

    def end(self) -> bytes:
        """Return the rest."""
        self._stream.close()
        return self._ready.taken()


class _Ready(io.RawIOBase):
    """The output of a compressor: keeps data until it is taken, even after closing."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer
        piece = bytes(data)
        self._pieces.append(piece)
        return len(piece)

    def taken(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


def require_zstd() -> None:
    """Check that zstd can be written here.

    Raises:
        MissingExtraError: It needs an optional package on Python before 3.14.
    """
    from importlib.util import find_spec

    if sys.version_info < (3, 14) and find_spec("pyarrow") is None:
        raise MissingExtraError("parquet", "writing .zst")


def _zstd_writer(out: IO[bytes] | io.RawIOBase) -> Any:  # noqa: ANN401 - pyarrow has no types
    if sys.version_info >= (3, 14):
        from compression import zstd

        return zstd.ZstdFile(cast("IO[bytes]", out), "wb", level=ZSTD_LEVEL)
    import pyarrow

    return pyarrow.CompressedOutputStream(pyarrow.PythonFile(out, mode="w"), "zstd")


def open_gzip(path: Path) -> IO[bytes]:
    """Open a file to read its lines."""
    return cast("IO[bytes]", gzip.open(path))


def open_zstd(path: Path) -> IO[bytes]:
    """Open a file to read its lines."""
    if sys.version_info >= (3, 14):
        from compression import zstd

        return zstd.open(path)
    import pyarrow

    return cast("IO[bytes]", pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd"))


def unpacked(head: bytes) -> bytes:
    """Return the first bytes of what a gzip file contains; empty if the file is damaged.

    Args:
        head: The first bytes of the file.
    """
    with suppress(zlib.error):
        return zlib.decompressobj(GZIP).decompress(head, 16)
    return b""


def count_lines(file: IO[bytes]) -> int:
    """Return how many lines a reader finds; it stops where the file is damaged."""
    lines = 0
    with file, suppress(OSError, *damage()):
        while block := file.read(BLOCK):
            lines += block.count(b"\n")
    return lines


class StoredJsonlGzip(StoredLines):
    """A file of JSON lines, compressed with gzip."""

    def _open(self) -> IO[bytes]:
        return open_gzip(self.path)


class StoredJsonlZstd(StoredLines):
    """A file of JSON lines, compressed with zstd."""

    def _open(self) -> IO[bytes]:
        return open_zstd(self.path)


class JsonlGzip(EndToEnd):
    """JSON lines, one gzip member for each part."""

    marks = (GZIP_MARK,)
    stored = StoredJsonlGzip

    def __init__(self, name: str, extensions: tuple[str, ...], level: int = GZIP_LEVEL) -> None:
        super().__init__(name, extensions)
        self._level = level

    def compressed(self, compression: str) -> Format:
        """Return the format with another level of gzip."""
        codec, mark, level = compression.partition(":") if isinstance(compression, str) else ("", "", "")
        if codec != "gzip" or (mark and level not in GZIP_LEVELS):
            raise checks.wrong("compression", compression, f'"gzip" or "gzip:1" to "gzip:9" for {self.name}')
        return JsonlGzip(self.name, self.extensions, int(level) if mark else GZIP_LEVEL)

    def is_marked(self, head: bytes) -> bool:
        """Whether the first gzip member contains lines, or nothing."""
        text = unpacked(head) if super().is_marked(head) else None
        return text is not None and (not text or text.startswith(Jsonl.marks))

    def writer(self, path: str) -> Writer:
        """Return a writer of compressed lines."""
        return CompressedWriter(path, GzipCompressor(self._level))

    def count(self, path: Path) -> int:
        """Decompress and count the lines."""
        with reading_back(path):
            return count_lines(open_gzip(path))


class JsonlZstd(EndToEnd):
    """JSON lines, one zstd frame for each part."""

    marks = (ZSTD_MARK,)
    stored = StoredJsonlZstd

    def require(self) -> None:
        """Look for a zstd library."""
        require_zstd()

    def writer(self, path: str) -> Writer:
        """Return a writer of compressed lines."""
        self.require()
        return CompressedWriter(path, ZstdCompressor())

    def count(self, path: Path) -> int:
        """Decompress and count the lines."""
        with reading_back(path):
            return count_lines(open_zstd(path))
