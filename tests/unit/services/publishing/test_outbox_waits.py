"""Places of an outbox's records, and how long it waits where it cannot have them."""

from collections.abc import Callable, Sequence

import pytest

from eventfabric import limits
from eventfabric.errors import (
    ContendedTransactionError,
    IndeterminateTransactionError,
    RefusedError,
    TransactionRefusedError,
)
from eventfabric.model import Generation, Lane, LaneIndex, Region, SequenceNumber
from eventfabric.ports import Clock, Entropy
from eventfabric.services.publishing.append import Appender
from eventfabric.services.publishing.outbox import OutboxAppend
from eventfabric.services.publishing.posted_tails import Posting
from eventfabric.testing.memory.faults import Fault, Faults, nth
from tests.support.appends import Half, Waits
from tests.support.memory_fabric import batch_of, event
from tests.support.outbox_producers import TOPOLOGY, US, OutboxProducers

LANES = [Lane(Region(US), Generation(0), LaneIndex(index)) for index in range(2)]


def posting(producers: OutboxProducers, faults: Faults, index: int = 0) -> Posting:
    """One event on its way to a lane of the orders."""
    log = faults.log(producers.cloud.log("orders", US))
    batch = batch_of([event(f"mine {index}")], bytes([index + 1]) * 16)
    return Posting(TOPOLOGY.stream("orders").table.name, log, LANES[index], batch, 7 * 86_400)


def append_of(
    producers: OutboxProducers,
    faults: Faults,
    *,
    lanes: Sequence[int] = (0,),
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    timeout_seconds: float = 30,
) -> OutboxAppend:
    return OutboxAppend(
        [posting(producers, faults, index) for index in lanes],
        lambda records: [],
        outbox=faults.outbox(producers.cloud.outbox(US)),
        clock=clock or producers.clock,
        entropy=entropy or producers.cloud.entropy,
        timeout_seconds=timeout_seconds,
    )


def others(producers: OutboxProducers, count: int = 1, index: int = 0) -> None:
    """Somebody else writes to a lane."""
    log = producers.cloud.log("orders", US)
    appender = Appender(
        log,
        stream="orders",
        clock=producers.clock,
        entropy=producers.cloud.entropy,
        retention_seconds=TOPOLOGY.stream("orders").retention_seconds,
    )
    for number in range(count):
        appender.append(LANES[index], batch_of([event(f"other {number}")], producers.cloud.entropy.bytes(16)))


def before_try(number: int, then: Callable[[], object]) -> Faults:
    """Something that happens just before that try."""

    def rule(called: str, overall: int, of_name: int) -> Fault | None:
        if (called, of_name) == ("outbox.append", number):
            then()
        return None

    return Faults(rule)


def test_each_wait_is_drawn_from_twice_the_time_of_the_one_before_up_to_a_bound() -> None:
    producers, clock = OutboxProducers(), Waits()
    throttled = Faults(
        lambda called, overall, of_name: (
            Fault.THROTTLED if called == "outbox.append" and of_name <= 12 else None
        )
    )
    append_of(producers, throttled, clock=clock, entropy=Half()).run()
    bounds = [limits.APPEND_BACKOFF_SECONDS * 2**number for number in range(12)]
    assert clock.seconds == [min(limits.APPEND_BACKOFF_MAX_SECONDS, bound) / 2 for bound in bounds]


@pytest.mark.parametrize("call", ["log.tail", "outbox.append"])
def test_once_the_time_is_up_nothing_is_waited_for(call: str) -> None:
    clock = Waits()
    throttled = Faults(lambda called, overall, of_name: Fault.THROTTLED if called == call else None)
    with pytest.raises(ContendedTransactionError):
        append_of(OutboxProducers(), throttled, clock=clock, timeout_seconds=0).run()
    assert (clock.seconds, throttled.count(call)) == ([], 1)


def test_it_is_tried_until_the_time_is_up_and_not_for_long_after() -> None:
    producers = OutboxProducers()
    throttled = Faults(lambda called, overall, of_name: Fault.THROTTLED if "append" in called else None)
    start_ms = producers.clock.now_ms()
    with pytest.raises(ContendedTransactionError):
        append_of(producers, throttled, timeout_seconds=2.5).run()
    assert 2_500 <= producers.clock.now_ms() - start_ms <= 2_500 + 1000 * limits.APPEND_BACKOFF_MAX_SECONDS


def test_a_place_that_somebody_else_has_is_left_at_once_and_without_a_read() -> None:
    producers, clock = OutboxProducers(), Waits()
    faults = before_try(1, lambda: others(producers, 1))
    (appended,) = append_of(producers, faults, clock=clock, entropy=producers.cloud.entropy).run()
    assert (appended.lane, appended.sequence) == (LANES[0], 1)
    assert faults.calls == ["log.tail", "outbox.append", "outbox.append"]
    assert clock.seconds == []


def test_each_third_place_that_somebody_else_has_is_left_after_a_wait_and_with_a_read() -> None:
    producers, clock = OutboxProducers(), Waits()
    faults = Faults(*(before_try(number, lambda: others(producers, 1)).rules[0] for number in (1, 2, 3)))
    (appended,) = append_of(producers, faults, clock=clock, entropy=producers.cloud.entropy).run()
    assert appended.sequence == 3
    assert faults.calls == ["log.tail", *["outbox.append"] * 3, "log.tail", "outbox.append"]
    assert len(clock.seconds) == 1


@pytest.mark.parametrize("taken", [0, 1])
def test_of_several_places_only_the_one_that_was_taken_moves(taken: int) -> None:
    producers = OutboxProducers()
    faults = before_try(1, lambda: others(producers, 1, taken))
    appended = append_of(producers, faults, lanes=(0, 1)).run()
    assert [record.sequence for record in appended] == [int(index == taken) for index in (0, 1)]
    assert (faults.count("log.tail"), faults.count("outbox.append")) == (2, 2)


def test_what_was_lost_before_somebody_else_took_its_place_goes_to_the_next() -> None:
    producers = OutboxProducers()
    faults = before_try(2, lambda: others(producers, 1))
    faults.rules.append(nth(1, Fault.LOST_REQUEST, name="outbox.append"))
    (appended,) = append_of(producers, faults).run()
    assert appended.sequence == 1
    assert [str(event.id) for event in producers.events()] == ["other 0", "mine 0"]


@pytest.mark.parametrize("first", [0, 1])
def test_what_landed_without_a_reply_is_known_again_by_whichever_record(first: int) -> None:
    producers = OutboxProducers()
    others(producers, 1, first)
    faults = Faults(nth(1, Fault.LOST_REPLY, name="outbox.append"))
    made = append_of(producers, faults, lanes=(0, 1), timeout_seconds=10)
    assert [record.sequence for record in made.run()] == [int(index == first) for index in (0, 1)]
    assert producers.ids() == ["mine 0", "mine 1", "other 0"]


def test_its_records_expire_as_the_stream_says() -> None:
    producers = OutboxProducers()
    append_of(producers, Faults()).run()
    (record,) = producers.cloud.log("orders", US).read(LANES[0], SequenceNumber(0), records_max=9).records
    assert record.expires_at == producers.clock.now_ms() // 1000 + 7 * 86_400


@pytest.mark.parametrize(("lost", "raises"), [(False, RefusedError), (True, IndeterminateTransactionError)])
def test_a_refusal_after_a_lost_reply_leaves_open_what_became_of_it(
    lost: bool, raises: type[Exception]
) -> None:
    def refused(called: str, overall: int, of_name: int) -> Fault | None:
        if called == "outbox.append" and of_name > int(lost):
            raise RefusedError(called, "AccessDeniedException: no")
        return Fault.LOST_REPLY if called == "outbox.append" else None

    producers = OutboxProducers()
    with pytest.raises(raises, match="AccessDenied"):
        append_of(producers, Faults(refused)).run()
    assert producers.ids() == (["mine 0"] if lost else [])


def test_two_writes_of_one_item_are_nobodys_and_say_nothing_of_what_stands_there() -> None:
    transaction = OutboxProducers().fabric().transaction()
    for _ in range(2):
        transaction.put("own", {"id": "twice"})
    transaction.publish("orders", key="k", type="Placed")
    with pytest.raises(TransactionRefusedError) as raised:
        transaction.commit()
    assert (raised.value.index, raised.value.code, raised.value.item) == (-1, "SameItemTwice", None)
