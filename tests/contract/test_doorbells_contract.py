"""The promises of ports.Doorbells, and the behaviour of the queues behind it, on every backend."""

from collections.abc import Iterable

from eventfabric.limits import DEDUPLICATION_SECONDS, TIMER_DELAY_SECONDS_MAX
from eventfabric.model import Doorbell, Generation, Lane, LaneIndex, SequenceNumber, StreamName
from eventfabric.wire.doorbell import from_body, subscription_of
from tests.support.backends import HOME, QUEUE, SUBSCRIPTION, Backend, Message


def bell(lane: int = 0, tail: int = 1, again: int = 0) -> Doorbell:
    return Doorbell(
        StreamName("orders"), Lane(HOME, Generation(0), LaneIndex(lane)), SequenceNumber(tail), again
    )


def ring(backend: Backend, *bells: Doorbell) -> None:
    assert backend.doorbells.ring(SUBSCRIPTION, bells) == []


def heard(messages: Iterable[Message]) -> list[tuple[int, int]]:
    """Lane and tail of each message."""
    return [(bell.lane.index, bell.tail) for bell in (from_body(message.body) for message in messages)]


def answer_all(backend: Backend) -> list[tuple[int, int]]:
    """Receive and delete until nothing comes."""
    doorbells: list[tuple[int, int]] = []
    while messages := backend.receive():
        doorbells += heard(messages)
        for message in messages:
            backend.delete(message)
    return doorbells


def test_a_doorbell_comes_out_as_it_went_in(backend: Backend) -> None:
    ring(backend, bell(3, 41))
    (message,) = backend.receive()
    assert from_body(message.body) == bell(3, 41)
    assert message.receive_count == 1


def test_any_number_of_doorbells_is_sent(backend: Backend) -> None:
    ring(backend)
    assert answer_all(backend) == []
    ring(backend, *(bell(lane) for lane in range(23)))
    assert sorted(answer_all(backend)) == [(lane, 1) for lane in range(23)]


def test_doorbells_of_a_queue_that_is_not_there_must_be_sent_again(backend: Backend) -> None:
    bells = [bell(lane) for lane in range(12)]
    assert backend.doorbells.ring("nobody", bells) == bells


def test_the_second_doorbell_for_the_same_news_is_dropped_even_after_the_first_was_answered(
    backend: Backend,
) -> None:
    ring(backend, bell(0, 5), bell(0, 5))
    ring(backend, bell(0, 5))
    assert answer_all(backend) == [(0, 5)]
    ring(backend, bell(0, 5))
    assert answer_all(backend) == []


def test_the_same_news_rings_again_after_five_minutes(backend: Backend) -> None:
    ring(backend, bell(0, 5))
    assert answer_all(backend) == [(0, 5)]
    backend.clock.advance(DEDUPLICATION_SECONDS - 1)
    ring(backend, bell(0, 5))
    assert answer_all(backend) == []
    backend.clock.advance(2)
    ring(backend, bell(0, 5))
    assert answer_all(backend) == [(0, 5)]


def test_a_ring_again_for_the_same_tail_is_not_dropped(backend: Backend) -> None:
    ring(backend, bell(0, 5), bell(0, 5, again=7))
    assert answer_all(backend) == [(0, 5), (0, 5)]


def test_the_same_tail_of_two_lanes_is_two_doorbells(backend: Backend) -> None:
    ring(backend, bell(0, 5), bell(1, 5))
    assert sorted(answer_all(backend)) == [(0, 5), (1, 5)]


def test_doorbells_of_a_lane_come_in_the_order_they_were_rung(backend: Backend) -> None:
    tails = [3, 1, 9, 2]
    ring(backend, *(bell(0, tail) for tail in tails))
    assert [tail for _, tail in answer_all(backend)] == tails


def test_while_a_doorbell_is_in_flight_its_lane_gives_no_other_and_other_lanes_do(backend: Backend) -> None:
    ring(backend, bell(0, 1), bell(0, 2), bell(1, 1))
    (held,) = backend.receive(1)
    assert heard([held]) == [(0, 1)]
    assert heard(backend.receive()) == [(1, 1)]
    assert backend.receive() == []
    backend.delete(held)
    assert heard(backend.receive()) == [(0, 2)]


def test_a_doorbell_that_nobody_answers_comes_again_after_its_visibility_timeout(backend: Backend) -> None:
    ring(backend, bell(0, 1), bell(0, 2))
    assert heard(backend.receive()) == [(0, 1), (0, 2)]
    backend.clock.advance(QUEUE.visibility_timeout_seconds - 1)
    assert backend.receive() == []
    backend.clock.advance(2)
    again = backend.receive()
    assert heard(again) == [(0, 1), (0, 2)]
    assert [message.receive_count for message in again] == [2, 2]


def test_a_doorbell_received_too_often_goes_to_the_dead_letters_and_its_lane_goes_on(
    backend: Backend,
) -> None:
    ring(backend, bell(0, 1))
    for _ in range(QUEUE.receive_count_max):
        assert heard(backend.receive()) == [(0, 1)]
        backend.clock.advance(QUEUE.visibility_timeout_seconds + 1)
    ring(backend, bell(0, 2))
    assert heard(backend.receive()) == [(0, 2)]
    assert [from_body(body).tail for body in backend.dead_letters()] == [1]


def test_a_doorbell_on_its_last_receive_can_still_be_answered(backend: Backend) -> None:
    ring(backend, bell(0, 1))
    for _ in range(QUEUE.receive_count_max):
        backend.clock.advance(QUEUE.visibility_timeout_seconds + 1)
        (last,) = backend.receive()
    assert last.receive_count == QUEUE.receive_count_max
    assert backend.receive() == []
    backend.delete(last)
    backend.clock.advance(QUEUE.visibility_timeout_seconds + 1)
    assert backend.receive() == []
    assert backend.dead_letters() == []


def test_a_doorbell_may_be_answered_before_its_invocation_ends(backend: Backend) -> None:
    ring(backend, bell(0, 1), bell(0, 2))
    (first,) = backend.receive(1)
    backend.doorbells.answer(SUBSCRIPTION, [first.receipt_handle])
    assert heard(backend.receive()) == [(0, 2)]


def test_a_doorbell_may_be_made_to_come_again_sooner(backend: Backend) -> None:
    ring(backend, bell(0, 1))
    (held,) = backend.receive()
    backend.doorbells.hide(SUBSCRIPTION, [held.receipt_handle], 7)
    backend.clock.advance(6)
    assert backend.receive() == []
    backend.clock.advance(2)
    assert heard(backend.receive()) == [(0, 1)]


def test_a_doorbell_that_is_gone_is_nothing_to_hide_or_answer(backend: Backend) -> None:
    ring(backend, bell(0, 1))
    (held,) = backend.receive()
    backend.delete(held)
    backend.doorbells.hide(SUBSCRIPTION, [held.receipt_handle], 7)
    backend.doorbells.answer(SUBSCRIPTION, [held.receipt_handle])
    assert backend.receive() == []


def test_a_doorbell_for_later_comes_when_its_delay_is_over(backend: Backend) -> None:
    assert backend.doorbells.ring_later(SUBSCRIPTION, bell(0, 5, again=7), 29.2)
    assert backend.doorbells.ring_later(SUBSCRIPTION, bell(1, 5), 0)
    (body,) = backend.timers()
    assert (from_body(body).lane.index, subscription_of(body)) == (1, SUBSCRIPTION)
    backend.clock.advance(29)
    assert backend.timers() == []
    backend.clock.advance(1.1)
    assert [from_body(body) for body in backend.timers()] == [bell(0, 5, again=7)]
    assert backend.timers() == []


def test_a_delay_longer_than_a_queue_knows_is_cut_short(backend: Backend) -> None:
    assert backend.doorbells.ring_later(SUBSCRIPTION, bell(0, 5), 5_000)
    backend.clock.advance(TIMER_DELAY_SECONDS_MAX + 0.1)
    assert len(backend.timers()) == 1


def test_timers_that_were_received_may_each_be_put_off(backend: Backend) -> None:
    for lane in range(2):
        assert backend.doorbells.ring_later(SUBSCRIPTION, bell(lane, 5), 0)
    first, second = backend.receive_timers()
    backend.doorbells.put_off(SUBSCRIPTION, {first.receipt_handle: 5, second.receipt_handle: 10})
    backend.clock.advance(4)
    assert backend.receive_timers() == []
    backend.clock.advance(2)
    (again,) = backend.receive_timers()
    assert (again.body, again.receive_count) == (first.body, 2)
    backend.clock.advance(5)
    assert [message.body for message in backend.receive_timers()] == [second.body]


def test_a_timer_that_is_gone_or_a_queue_that_is_not_there_is_nothing_to_put_off(backend: Backend) -> None:
    assert backend.doorbells.ring_later(SUBSCRIPTION, bell(0, 5), 0)
    backend.doorbells.put_off(SUBSCRIPTION, {"unknown": 5})
    backend.doorbells.put_off("nobody", {"unknown": 5})
    assert len(backend.timers()) == 1


def test_a_timer_queue_that_is_not_there_takes_nothing(backend: Backend) -> None:
    assert not backend.doorbells.ring_later("nobody", bell(0, 5), 1)
