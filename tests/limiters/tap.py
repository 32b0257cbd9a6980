"""What crosses the wire: passes bytes between client and limiter unchanged, and notes each answer's head."""

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

CHUNK = 1 << 16
HEAD_END = b"\r\n\r\n"
BODILESS = (204, 304)


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of one answer.

    Attributes:
        at_s: When its head was there, Unix seconds.
        status: Its status.
        lines: Its header lines as they were sent: case, order and repetitions.
    """

    at_s: float
    status: int
    lines: tuple[str, ...]


class Answers:
    """Cuts the bytes of one connection into answers to GETs; bodies have a length, chunks, or no end."""

    def __init__(self) -> None:
        self._rest = b""
        self._body_left: int | None = 0
        """Bytes of a body yet to come; None: all until the connection ends."""
        self._chunked = False

    def feed(self, data: bytes) -> Iterator[Answer]:
        """Take more bytes, and yield each answer whose head is whole."""
        self._rest += data
        while self._skip_body():
            end = self._rest.find(HEAD_END)
            if end < 0:
                return
            head, self._rest = self._rest[:end].decode("latin-1"), self._rest[end + len(HEAD_END) :]
            first, *lines = head.split("\r\n")
            status = int(first.split(" ", 2)[1])
            if status >= 200:
                self._expect(status, lines)
                yield Answer(time.time(), status, tuple(lines))

    def _expect(self, status: int, lines: list[str]) -> None:
        fields = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }
        self._chunked = fields.get("transfer-encoding", "").lower() == "chunked"
        if status in BODILESS or self._chunked:
            self._body_left = 0
        else:
            self._body_left = int(fields["content-length"]) if "content-length" in fields else None

    def _skip_body(self) -> bool:
        """Drop what belongs to a body; tell whether the next head may begin."""
        while True:
            if self._body_left is None:
                self._rest = b""
                return False
            taken = min(self._body_left, len(self._rest))
            self._rest = self._rest[taken:]
            self._body_left -= taken
            if self._body_left:
                return False
            if not self._chunked:
                return True
            size, separator, rest = self._rest.partition(b"\r\n")
            if not separator:
                return False
            length = int(size.split(b";")[0], 16)
            self._chunked, self._rest = length > 0, rest
            self._body_left = length + 2  # the chunk, or the trailer that is empty, and its end of line


class Tap:
    """A loopback port that leads to another one; a context manager.

    Args:
        port: Where the limiter listens.
    """

    def __init__(self, port: int) -> None:
        self.answers: list[Answer] = []
        self.first_request_s: float | None = None
        """When the first request was there, Unix seconds."""
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tap", daemon=True)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._connected, "127.0.0.1", 0), self._loop
        ).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """The address to ask, without a path."""
        if self._server is None:
            raise RuntimeError("the tap is not open")
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        writers = [writer]
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            writers.append(back)
            await asyncio.gather(self._up(reader, back), self._down(there, writer))
        except (OSError, asyncio.CancelledError):
            pass  # one side went away, or the tap closes: the other sees its connection end
        finally:
            for one in writers:
                one.close()
            self._connections.discard(task)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if self.first_request_s is None:
                self.first_request_s = time.time()
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers = Answers()
        while data := await reader.read(CHUNK):
            self.answers.extend(answers.feed(data))
            writer.write(data)
            await writer.drain()
        # A client may still hold its side open: the connection ends here, as the limiter ended it.
        writer.close()
        raise ConnectionResetError
