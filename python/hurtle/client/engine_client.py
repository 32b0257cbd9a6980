"""The class that owns the engine: it creates the engine on first use, shares it, and closes it."""

import atexit
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Self
from weakref import WeakSet

from hurtle.errors import ClosedError
from hurtle.options import Options

if TYPE_CHECKING:
    from hurtle._engine import Engine


class EngineClient:
    """Holds options and one engine: its threads, connections, DNS answers and TLS sessions.

    Args:
        options: All options, resolved.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._engine: Engine | None = None
        self._closed = False
        self._lock = Lock()

    @property
    def options(self) -> Options:
        """The options, resolved."""
        return self._options

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def engine(self) -> "Engine":
        """Return the engine; the first call creates it.

        Raises:
            ClosedError: The client was closed.
            ConfigError: The engine rejects these options.
        """
        with self._lock:
            if self._closed:
                raise ClosedError("the client is closed")
            if self._engine is None:
                from hurtle._engine import Engine

                self._engine = Engine(self._options)
                _open_clients.add(self)
            return self._engine

    def close(self) -> None:
        """Cancel running jobs, close the connections and end the engine's threads. Idempotent."""
        with self._lock:
            self._closed = True
            engine, self._engine = self._engine, None
        _open_clients.discard(self)
        if engine is not None:
            engine.close()

    async def aclose(self) -> None:
        """Close as `close` does, without blocking the event loop."""
        import asyncio

        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        if self._closed:
            raise ClosedError("the client is closed")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


_open_clients: WeakSet[EngineClient] = WeakSet()


@atexit.register
def _close_open_clients() -> None:
    """Close every engine before the interpreter exits, so that no feeding thread runs during the shutdown."""
    for client in list(_open_clients):
        client.close()
