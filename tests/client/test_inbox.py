"""The buffer between a caller's iterator and the engine: bounded, and no wake-up is lost."""

import threading
import time

from hurtle.client.inbox import CAPACITY, Inbox
from hurtle.client.reorder import Reorder, Window


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
    told: list[tuple[int, int]] = []
    window.tell = lambda held_bytes, awaited: told.append((held_bytes, awaited))
    reorder: Reorder[str] = Reorder(window)
    window.sent(3)
    reorder.hold(1, "late", 99)
    assert list(reorder.due()) == []
    assert window.wait() == 7
    reorder.hold(2, "more", 1)
    assert list(reorder.due()) == []
    threading.Timer(0.02, reorder.hold, (0, "early", 99)).start()
    threading.Timer(0.04, lambda: list(reorder.due())).start()
    assert window.wait() == 10
    assert reorder.rest() == []
    assert told == [(99, 0), (100, 0), (0, 3)]
