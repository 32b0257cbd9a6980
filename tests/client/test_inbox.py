"""The buffer between a caller's iterator and the engine: bounded, and no wake-up is lost."""

import threading
import time
from types import SimpleNamespace
from typing import Any

from hurtle.client.inbox import CAPACITY, Inbox
from hurtle.client.reorder import Reorder, Window, in_order


def test_rows_come_out_in_order_when_two_threads_hurry() -> None:
    room = threading.Event()
    inbox = Inbox(room.set)
    rows = 50_000
    most = 0

    def add() -> None:
        nonlocal most
        for number in range(rows):
            inbox.add(str(number))
            most = max(most, len(inbox._rows))
            while inbox.must_wait():
                room.wait()
                room.clear()
        inbox.end()

    adder = threading.Thread(target=add, daemon=True)
    adder.start()
    taken: list[object] = []
    while part := inbox.take(100):
        assert len(part) <= 100
        taken += part
    adder.join(5)
    assert taken == [str(number) for number in range(rows)]
    assert most <= CAPACITY + 1


def test_a_row_can_be_taken_while_the_next_one_is_awaited() -> None:
    inbox = Inbox(lambda: None)
    inbox.add("only")
    assert inbox.take(100) == ["only"]


def test_a_waiting_taker_is_woken_when_the_end_comes() -> None:
    inbox = Inbox(lambda: None)
    threading.Timer(0.02, inbox.end).start()
    assert inbox.take(1) == []


def test_nothing_is_taken_after_the_instant() -> None:
    inbox = Inbox(lambda: None, until=time.monotonic() + 0.02)
    assert inbox.take(1) == []
    inbox.add("late")
    assert inbox.take(1) == []


def test_the_window_closes_when_too_much_waits_and_opens_again() -> None:
    window = Window(rows=10, held_bytes=100)
    assert window.wait() == 10
    window.sent(7)
    assert window.wait() == 3
    window.move(yielded=5, held_bytes=0)
    assert window.wait() == 8
    window.move(yielded=5, held_bytes=100)
    threading.Timer(0.02, window.move, (5, 99)).start()
    assert window.wait() == 8
    window.close()
    assert window.wait() == 0


def test_the_window_lets_the_awaited_row_through_when_later_ones_fill_it() -> None:
    window = Window(rows=10, held_bytes=100)
    window.sent(2)
    window.move(yielded=2, held_bytes=5000)
    assert window.wait() == 1


def test_the_window_counts_decoded_bytes_that_wait() -> None:
    window = Window(rows=10, held_bytes=100)
    reorder: Reorder[Any] = Reorder(window)
    responses: list[Any] = [
        SimpleNamespace(index=index, content=b"x" * size, bytes_wire=1)
        for index, size in enumerate((99, 99, 1))
    ]
    early, late, more = responses
    window.sent(3)
    assert list(in_order([late], reorder)) == []
    assert window.wait() == 7
    assert list(in_order([more], reorder)) == []
    threading.Timer(0.02, lambda: list(in_order([early], reorder))).start()
    assert window.wait() == 10
    assert reorder.rest() == []
