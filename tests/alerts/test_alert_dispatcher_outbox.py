"""What waits for a channel."""

from __future__ import annotations

from datetime import timedelta

import pytest
from alert_senders import END, ESCALATION, FIRST, REPEAT, UPDATE, message

from alert_samples import NOW
from metalscope.alerts.notification import Notification
from metalscope.alerts.notify.outbox import MAX_AGE, MOST_CARRIED, MOST_WAITING, Outbox
from metalscope.sending.result import Reason

LATER = NOW + MAX_AGE + timedelta(seconds=1)


def outbox(*messages: Notification, carries: bool = False) -> Outbox:
    box = Outbox(carries=carries)
    for one in messages:
        box.put(one)
    return box


def test_messages_wait_in_order() -> None:
    first, second, third = (message(incident=number) for number in range(3))
    box = outbox(first, second, third)

    assert box.first() is first
    assert box.settle(first, is_over=True, arrived=True)
    assert box.messages == (second, third)
    assert not box.settle(second, is_over=False, arrived=False)
    assert box.first() is second


def test_a_newer_message_takes_the_place_of_an_older_one_of_its_incident() -> None:
    old, other, new = message(UPDATE), message(incident=1), message(REPEAT)
    box = outbox(old, other)

    put = box.put(new)

    assert put.gone == ((old.id, Reason.SUPERSEDED),)
    assert box.messages == (new, other)


@pytest.mark.parametrize("first", [FIRST, ESCALATION])
def test_what_takes_the_place_of_the_first_is_the_first(first: object) -> None:
    box = outbox(message(first))  # type: ignore[arg-type]

    assert box.put(message(UPDATE)).message.kind is first
    assert box.put(message(REPEAT)).message.kind is first
    assert box.put(message(END)).message.kind is END


def test_the_end_goes_even_where_the_beginning_never_did() -> None:
    end = message(END)
    box = outbox(message(FIRST), end)

    assert box.messages == (end,)


def test_the_same_message_again_is_one() -> None:
    one = message()
    box = outbox(one)

    assert box.put(one).gone == ()
    assert len(box) == 1


def test_what_is_on_its_way_is_not_superseded_when_it_arrives() -> None:
    old, new = message(FIRST), message(UPDATE)
    box = outbox(old)
    box.begin(old)

    assert box.put(new).gone == ()
    assert box.settle(old, is_over=True, arrived=True)
    assert box.messages == (new,)


def test_what_is_on_its_way_is_superseded_when_it_does_not() -> None:
    old, new = message(FIRST), message(UPDATE)
    box = outbox(old)
    box.begin(old)
    box.put(new)

    assert box.settle(old, is_over=False, arrived=False)
    (waits,) = box.messages
    assert waits.id == new.id
    assert waits.kind is FIRST


def test_of_too_many_the_oldest_go_and_ends_stay() -> None:
    end, *rest = message(END), *(message(incident=1 + n) for n in range(MOST_WAITING))
    box = outbox(end, *rest[:-1])

    put = box.put(rest[-1])

    assert put.gone == ((rest[0].id, Reason.QUEUE_FULL),)
    assert box.messages == (end, *rest[1:])


def test_where_there_are_only_ends_the_oldest_goes() -> None:
    ends = [message(END, number) for number in range(MOST_WAITING)]
    new = message(FIRST, MOST_WAITING)
    box = outbox(*ends)
    box.begin(ends[0])

    assert box.put(new).gone == ((ends[1].id, Reason.QUEUE_FULL),)
    assert box.messages[-1] is new


def test_what_is_a_day_old_is_not_wanted_any_more() -> None:
    old, young = message(), message(incident=1, at=NOW + timedelta(seconds=2))
    box = outbox(old, young)

    assert box.expire(NOW + MAX_AGE) == []
    assert box.expire(LATER) == [old.id]
    assert box.messages == (young,)


def test_the_end_of_what_somebody_may_know_of_is_wanted_however_late() -> None:
    told = message(END, 1)
    untold = message(END, 2)
    box = outbox(told, message(FIRST, 2), untold)

    assert box.expire(LATER) == [untold.id]
    assert box.messages == (told,)


def test_what_is_on_its_way_does_not_expire() -> None:
    one = message()
    box = outbox(one)
    box.begin(one)

    assert box.expire(LATER) == []


def test_the_end_of_what_did_not_arrive_in_the_meantime_expires() -> None:
    first, end = message(FIRST), message(END)
    box = outbox(first)
    box.begin(first)
    box.put(end)
    box.settle(first, is_over=False, arrived=False)

    assert box.expire(LATER) == [end.id]


def test_a_peer_that_knows_only_what_it_was_sent_is_told_each_end() -> None:
    box = outbox(message(UPDATE, over=["a"]), carries=True)

    put = box.put(message(UPDATE, over=["b"]))

    assert [one.id for one in put.message.resolved] == ["b", "a"]
    assert [one.id for one in box.put(message(END)).message.resolved] == ["end", "b", "a"]


def test_the_ends_that_are_carried_on_are_not_endless() -> None:
    box = outbox(message(UPDATE, over=[str(n) for n in range(MOST_CARRIED)]), carries=True)

    put = box.put(message(UPDATE, over=["new"]))

    assert len(put.message.resolved) == MOST_CARRIED
    assert put.message.resolved[0].id == "new"
    assert put.message.resolved[1].id == "1"


def test_people_are_told_the_ends_by_the_message_that_says_all_is_over() -> None:
    box = outbox(message(UPDATE, over=["a"]))

    assert [one.id for one in box.put(message(UPDATE, over=["b"])).message.resolved] == ["b"]
