"""How the user or the system stops a run, and how to delay that."""

import _signal  # type: ignore[import-not-found]
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType
from typing import Any


class Terminated(BaseException):
    """SIGTERM arrived: the rows so far are kept, as with Ctrl-C."""


class HungUp(BaseException):
    """SIGHUP arrived: the terminal is gone. The rows so far are kept, as with Ctrl-C."""


STOPPED: tuple[type[BaseException], ...] = (KeyboardInterrupt, Terminated, HungUp)
"""The exceptions that such a stop raises in running code."""


STOPS: tuple[int, ...] = (
    signal.SIGINT,
    signal.SIGTERM,
    *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []),  # Windows has none
)


@contextmanager
def stops_held() -> Iterator[None]:
    """Hold back Ctrl-C and similar signals until the block ends; their own handlers then decide what happens.

    Python runs handlers on the main thread alone, between any two of its instructions: also in the middle of
    a row group, which would leave an unreadable file. On other threads there is nothing to hold back.

    Every batch comes through here, so this uses `_signal`, which takes 1 µs. `signal`, which wraps it, takes
    10, or 16 if both signals have a handler, most of that to convert to and from enums.
    """
    if current_thread() is not main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def keep(number: int, frame: FrameType | None) -> None:
        came.append((number, frame))

    try:
        for number in STOPS:
            # A signal that is ignored, or ends the process at once, runs no Python code.
            if callable(handler := _signal.getsignal(number)):
                before[number] = handler
                _signal.signal(number, keep)
        yield
    finally:
        for number, handler in before.items():
            _signal.signal(number, handler)
        for number, frame in came:
            before[number](number, frame)
