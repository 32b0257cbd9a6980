"""A server that sends the given bytes unchanged, and keeps the bytes that it receives."""

import socket
from collections.abc import Mapping
from contextlib import suppress
from threading import Thread
from types import TracebackType
from typing import Self


class RawServer:
    """Answers each path with given bytes, one request a connection. A context manager; loopback only.

    Args:
        answers: By path, what is sent: heads, framing, bodies. Then the connection is closed.
    """

    def __init__(self, answers: Mapping[str, bytes]) -> None:
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = Thread(target=self._serve, daemon=True)
        self.received: dict[str, bytes] = {}
        self.base = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        data = b""
        while b"\r\n\r\n" not in data:
            if not (piece := connection.recv(65536)):
                return
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        while len(body) < int(fields.get(b"content-length", 0)):
            body += connection.recv(65536)
        path = head.split(b" ")[1].decode()
        self.received[path] = head + b"\r\n\r\n" + body
        connection.sendall(self._answers[path])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A blocked accept ends only when the socket is shut down.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
