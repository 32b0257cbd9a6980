"""How a person or the system asks for the end, and how long that can wait."""

import _signal  # type: ignore[import-not-found]
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType
from typing import Any


class Terminated(BaseException):
    """SIGTERM came: what has come is kept, as with Ctrl-C."""


class HungUp(BaseException):
    """SIGHUP came: the terminal is gone. What has come is kept, as with Ctrl-C."""


STOPPED: tuple[type[BaseException], ...] = (KeyboardInterrupt, Terminated, HungUp)
"""What such a request looks like to the code that runs."""


STOPS: tuple[int, ...] = (
    signal.SIGINT,
    signal.SIGTERM,
    *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []),  # Windows has none
)


@contextmanager
def stops_held() -> Iterator[None]:
    """Let Ctrl-C and its like wait until the block is left; what they do then is up to their own handlers.

    Python runs handlers on the main thread alone, between any two of its instructions: also in the middle of
    a row group, which would leave a file that nobody can read. Elsewhere there is nothing to hold.

    A sink comes here with every batch. `signal` makes enums of all it takes and gives, for 8 µs of 10, or 14
    of 16 where both have a handler; `_signal` is what it calls, and takes 1.
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
