"""Listens for every case, each on an address and port of its own."""

import selectors
import socket
import sys
from contextlib import ExitStack
from threading import Event, Thread
from types import TracebackType
from typing import Self

from hurtle.chaos.case import Case
from hurtle.chaos.peer import Peer
from hurtle.chaos.table import CASES
from hurtle.testing import Server

_LOOK_EVERY_S = 0.1


class ChaosServer:
    """Servers that misbehave, on loopback; a context manager.

    Each case has a port of its own, and on Linux also an address of 127.0.0.0/8: to a client, each is another
    host.

    Args:
        cases: What to listen for.

    Attributes:
        urls: The URL of each case, by its id.
        authorities: Files with the certificates to trust, by the ids of the cases that need one.
    """

    def __init__(self, cases: tuple[Case, ...] = CASES) -> None:
        self._cases = cases
        self._stopped = Event()
        self._sockets = ExitStack()
        self._threads: list[Thread] = []
        self.urls: dict[str, str] = {}
        self.authorities: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Listen.

        Raises:
            OSError: A socket could not be opened.
        """
        with ExitStack() as opened:
            waiting = opened.enter_context(selectors.DefaultSelector())
            for number, case in enumerate(self._cases):
                if case.url is not None:
                    self.urls[case.id] = case.url
                    continue
                if case.tls_fault is not None:
                    server = opened.enter_context(Server(tls_fault=case.tls_fault))
                    self.urls[case.id] = server.tls_url(f"/?{case.id}")
                    self.authorities[case.id] = str(server.ca_path)
                    continue
                listener = opened.enter_context(socket.socket())
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((_address(number), 0))
                listener.listen(128)
                listener.setblocking(False)
                host, port = listener.getsockname()
                self.urls[case.id] = f"{case.scheme}://{host}:{port}/{case.id}"
                waiting.register(listener, selectors.EVENT_READ, (case, iter(range(1 << 30))))
            self._sockets = opened.pop_all()
        self._start(self._accept, waiting)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and wait until every connection has ended."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._sockets.close()

    def _start(self, work: object, *arguments: object) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, waiting: selectors.BaseSelector) -> None:
        while not self._stopped.is_set():
            for key, _ in waiting.select(_LOOK_EVERY_S):
                case, numbers = key.data
                try:
                    connection, _ = key.fileobj.accept()  # type: ignore[union-attr]
                except OSError:
                    continue
                connection.setblocking(True)
                self._start(self._serve, case, next(numbers), connection)

    def _serve(self, case: Case, number: int, connection: socket.socket) -> None:
        peer = Peer(connection, self._stopped)
        try:
            case.play(number, peer)
        finally:
            peer.finish()


def _address(number: int) -> str:
    if sys.platform != "linux":
        return "127.0.0.1"
    return f"127.0.{1 + number // 250}.{1 + number % 250}"
