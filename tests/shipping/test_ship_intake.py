"""Where records are put, before any thread takes them further."""

from __future__ import annotations

from math import inf

from ship_peers import Time, lines

from metalscope.sending.shipping.intake import Intake, Ticket
from metalscope.sending.shipping.packing import unpack


def intake(time: Time, *, most_bytes: int = 10_000, linger: float = 1.0) -> Intake:
    return Intake(
        batch_size=10,
        batch_bytes=1000,
        most_bytes=most_bytes,
        linger=linger,
        monotonic=time.monotonic,
    )


def taken(one: Intake, now: float = inf) -> list[bytes]:
    """All records it gives at that moment."""
    found: list[bytes] = []
    while (packed := one.take(now)) is not None:
        assert isinstance(packed, bytes)
        batch = unpack(packed)
        assert batch is not None
        found += batch.records
    return found


def test_what_nobody_takes_is_bounded_and_the_oldest_is_let_go() -> None:
    one = intake(Time())
    for number in range(1000):
        one.put([f"{number:04} ".encode() + b"x" * 95], urgent=False)
        waiting, waiting_bytes = one.waiting
        assert waiting_bytes == 100 * waiting
        assert waiting + one.lost == number + 1
        assert waiting_bytes <= 10_000 + 1000
    waiting, _ = one.waiting
    assert [int(record[:4]) for record in taken(one)] == list(range(1000 - waiting, 1000))
    assert one.waiting == (0, 0)


def test_a_ticket_outlives_what_was_put_before_it() -> None:
    one, ticket = intake(Time()), Ticket(inf, urges=False)
    one.put(lines(10), urgent=False)
    one.queue(ticket)
    for _ in range(200):
        one.put([b"x" * 100] * 10, urgent=False)
    assert one.take(0) is ticket


def test_it_says_when_there_is_something_new_to_do() -> None:
    time = Time()
    one = intake(time)
    assert not one.put([], urgent=True)
    assert one.wait(time.at) == inf
    assert one.put(lines(1), urgent=False)
    assert not one.put(lines(1), urgent=False)
    assert one.wait(time.at) == 1.0
    assert taken(one, time.at) == []
    time.at += 1
    assert one.wait(time.at) == 0
    assert taken(one, time.at) == lines(1) * 2
    assert one.put(lines(1), urgent=True)
    assert one.wait(time.at) == 0
