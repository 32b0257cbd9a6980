"""One connection of a chaos server."""

import socket
import struct
from threading import Event

LIMIT_S = 20.0
"""A connection ends after this long, whatever its script says."""

MOST_BYTES = 64 << 20
"""A connection sends at most this many bytes."""


class Peer:
    """A connection, seen from the server.

    Args:
        connection: The socket.
        stopped: Set when the server stops.
    """

    def __init__(self, connection: socket.socket, stopped: Event) -> None:
        self._connection = connection
        self._stopped = stopped
        self._sent = 0
        self._buffer = b""
        connection.settimeout(LIMIT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def request(self) -> bytes | None:
        """Return the head of the next request; None: there is none any more."""
        while b"\r\n\r\n" not in self._buffer:
            if not (more := self.receive()):
                return None
            self._buffer += more
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head

    def receive(self) -> bytes:
        """Return what arrives next; empty: nothing any more."""
        try:
            return self._connection.recv(65536)
        except OSError:
            return b""

    def send(self, data: bytes) -> bool:
        """Send bytes; return whether more may be sent."""
        self._sent += len(data)
        if self._stopped.is_set() or self._sent > MOST_BYTES:
            return False
        try:
            self._connection.sendall(data)
        except OSError:
            return False
        return True

    def wait(self, seconds: float = LIMIT_S) -> None:
        """Wait, unless the server stops first."""
        self._stopped.wait(seconds)

    def reset(self) -> None:
        """End the connection with RST."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()

    def finish(self) -> None:
        """End the connection with FIN, after what was sent has left."""
        try:
            self._connection.shutdown(socket.SHUT_WR)
            # Unread bytes would turn the end into a reset, and lose what was sent.
            self._connection.settimeout(0.5)
            while self._connection.recv(65536):
                pass
        except OSError:
            pass
        finally:
            self._connection.close()
