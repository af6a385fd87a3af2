"""The decisions of services.publishing.append, one by one."""

from typing import cast

import pytest

from eventfabric import limits
from eventfabric.errors import (
    ContendedAppendError,
    IndeterminateAppendError,
    OutcomeUnknownError,
    RefusedError,
    ThrottledError,
)
from eventfabric.model import Batch, Record
from eventfabric.services.publishing.append import Appender
from eventfabric.testing.memory.faults import Fault, Faults, nth
from tests.support.appends import MINE, Half, Waits, at_call, mine
from tests.support.memory_fabric import LANE, event, lane
from tests.support.subscribed_stream import SubscribedStream


def waits_of(fabric: SubscribedStream, faults: Faults) -> list[float]:
    """Return how long an append waits, each time."""
    clock = Waits()
    appender = Appender(faults.log(fabric.origin_log), stream="orders", clock=clock, entropy=Half())
    appender.append(LANE, mine())
    return clock.seconds


def test_the_first_append_reads_the_tail_and_the_next_ones_know_it() -> None:
    fabric, faults = SubscribedStream(), Faults()
    appender = fabric.appender(faults=faults)
    for number in range(3):
        assert appender.append(LANE, mine(str(number), bytes([number]) * 16)).sequence == number
    assert faults.calls == ["log.tail", *["log.append"] * 3]


def test_tails_are_known_lane_by_lane() -> None:
    fabric, faults = SubscribedStream(), Faults()
    appender = fabric.appender(faults=faults)
    for index in (0, 1, 0, 1):
        appender.append(lane(index), mine(batch_id=bytes([len(faults.calls)]) * 16))
    assert faults.count("log.tail") == 2


def test_an_occupied_place_gives_the_next_tail_without_a_read() -> None:
    fabric = SubscribedStream()
    faults = at_call("log.append", 1, lambda: fabric.put(event("other1"), event("other2")))
    assert fabric.appender(faults=faults).append(LANE, mine()).sequence == 2
    assert faults.calls == ["log.tail", "log.append", "log.append"]


def test_after_three_occupied_places_in_a_row_the_tail_is_read_again() -> None:
    fabric, faults = SubscribedStream(), Faults()
    appender = fabric.appender(faults=faults)
    appender.append(LANE, mine("first", b"1" * 16))
    for number in range(5):
        fabric.put(event(f"other{number}"))
    assert appender.append(LANE, mine()).sequence == 6
    assert faults.calls[2:] == [*["log.append"] * 3, "log.tail", "log.append"]


def test_where_others_were_faster_lately_the_tail_is_read_first_until_it_is_as_remembered() -> None:
    fabric, faults = SubscribedStream(), Faults()
    appender = fabric.appender(faults=faults)

    def calls_of(number: int) -> list[str]:
        before = len(faults.calls)
        appender.append(LANE, mine(str(number), bytes([number]) * 16))
        return faults.calls[before:]

    assert calls_of(0) == ["log.tail", "log.append"]
    fabric.put(event("other"))
    assert calls_of(1) == ["log.append", "log.append"]
    fabric.put(event("another"))
    assert calls_of(2) == ["log.tail", "log.append"]  # a read in place of a refused put
    assert calls_of(3) == ["log.tail", "log.append"]  # and it was as remembered
    assert calls_of(4) == ["log.append"]


def test_who_is_faster_in_one_lane_slows_no_other() -> None:
    fabric, faults = SubscribedStream(), Faults()
    appender = fabric.appender(faults=faults)
    for number, index in enumerate((0, 1)):
        appender.append(lane(index), mine(batch_id=bytes([number]) * 16))
    fabric.put(event("other"))
    appender.append(LANE, mine(batch_id=b"a" * 16))
    before = len(faults.calls)
    appender.append(lane(1), mine(batch_id=b"b" * 16))
    assert faults.calls[before:] == ["log.append"]


@pytest.mark.parametrize("fault", [Fault.LOST_REPLY, Fault.LOST_REQUEST])
def test_without_a_reply_the_same_place_is_tried_again_and_never_another(fault: Fault) -> None:
    fabric = SubscribedStream()
    faults = Faults(*(nth(number, fault, name="log.append") for number in (1, 2, 3)))
    assert fabric.appender(faults=faults).append(LANE, mine()).sequence == 0
    assert fabric.logged_ids() == ["mine"]
    assert faults.calls == ["log.tail", *["log.append"] * 4]


def test_a_throttle_after_a_lost_reply_does_not_make_the_batch_forget_where_it_may_be() -> None:
    fabric = SubscribedStream()
    faults = Faults(nth(1, Fault.LOST_REPLY, name="log.append"), nth(2, Fault.THROTTLED, name="log.append"))
    with pytest.raises(IndeterminateAppendError):
        fabric.appender(
            faults=Faults(*faults.rules, nth(3, Fault.THROTTLED, name="log.append")), timeout_seconds=0
        ).append(LANE, mine())
    assert fabric.appender(faults=faults).append(LANE, mine(batch_id=b"n" * 16)).sequence == 1
    assert fabric.logged_ids() == ["mine", "mine"]


def test_a_lane_that_is_throttled_until_the_time_is_up_certainly_has_nothing() -> None:
    fabric = SubscribedStream()
    throttled = Faults(lambda called, overall, of_name: Fault.THROTTLED)
    with pytest.raises(ContendedAppendError) as raised:
        fabric.appender(faults=throttled, timeout_seconds=1).append(LANE, mine())
    assert raised.value.no_effect
    assert raised.value.retryable
    assert (raised.value.lane, raised.value.batch) == (LANE, mine())
    assert fabric.logged_ids() == []


@pytest.mark.parametrize("throttled_call", ["log.tail", "log.append"])
def test_the_time_of_one_append_goes_before_the_appenders(throttled_call: str) -> None:
    fabric = SubscribedStream()
    throttled = Faults(lambda called, overall, of_name: Fault.THROTTLED if called == throttled_call else None)
    start = fabric.clock.now_ms()
    with pytest.raises(ContendedAppendError) as raised:
        fabric.appender(faults=throttled, timeout_seconds=600).append(LANE, mine(), timeout_seconds=5)
    assert 5000 <= fabric.clock.now_ms() - start <= 6000
    assert isinstance(raised.value.__cause__, ThrottledError)


def test_each_wait_is_drawn_from_twice_the_time_of_the_one_before_up_to_a_bound() -> None:
    throttled = Faults(lambda called, overall, of_name: Fault.THROTTLED if of_name <= 12 else None)
    bounds = [limits.APPEND_BACKOFF_SECONDS * 2**number for number in range(12)]
    expected = [min(limits.APPEND_BACKOFF_MAX_SECONDS, bound) / 2 for bound in bounds]
    assert waits_of(SubscribedStream(), throttled) == [*expected, *[expected[-1]] * 12]


def test_an_occupied_place_is_left_at_once_and_each_third_one_after_a_wait_and_a_read() -> None:
    for others in range(8):
        fabric = SubscribedStream()

        def rule(
            called: str,
            overall: int,
            of_name: int,
            memory_fabric: SubscribedStream = fabric,
            others: int = others,
        ) -> None:
            if called == "log.append" and of_name <= others:
                memory_fabric.put(event(f"other{of_name}"))

        assert len(waits_of(fabric, Faults(rule))) == others // 3


def test_who_meets_others_each_time_waits_a_tenth_of_a_second_at_most() -> None:
    fabric = SubscribedStream()

    def rule(called: str, overall: int, of_name: int) -> None:
        if called == "log.append" and of_name <= 60:
            fabric.put(event(f"other{of_name}"))

    waits = waits_of(fabric, Faults(rule))
    assert len(waits) == 20
    assert max(waits) == limits.APPEND_CONFLICT_WAIT_MAX_SECONDS / 2


def test_a_batch_that_is_refused_after_a_lost_reply_may_still_stand_there() -> None:
    fabric = SubscribedStream()
    batch = Batch(mine().id, 1, frozenset({"placed"}), bytes(500_000))
    lost = Faults(nth(1, Fault.LOST_REQUEST, name="log.append"))
    with pytest.raises(IndeterminateAppendError) as raised:
        fabric.appender(faults=lost).append(LANE, batch)
    assert isinstance(raised.value.__cause__, RefusedError)
    assert str(raised.value.__cause__) in str(raised.value)
    assert (raised.value.lane, raised.value.batch, raised.value.sequence) == (LANE, batch, 0)


def test_a_batch_without_any_reply_says_what_may_stand_where() -> None:
    fabric = SubscribedStream()
    silent = Faults(lambda called, overall, of_name: Fault.LOST_REPLY if called == "log.append" else None)
    start = fabric.clock.now_ms()
    with pytest.raises(IndeterminateAppendError) as raised:
        fabric.appender(faults=silent, timeout_seconds=2).append(LANE, mine())
    error = raised.value
    assert not error.no_effect
    assert isinstance(error.__cause__, OutcomeUnknownError)
    assert (error.stream, error.batch, error.batch_id, error.sequence) == ("orders", mine(), MINE, 0)
    assert error.record == fabric.records()[0]
    assert 2000 <= fabric.clock.now_ms() - start <= 3000


def test_an_unsettled_batch_that_had_landed_is_found_where_it_stands() -> None:
    fabric = SubscribedStream()
    landed = fabric.put(event("mine"))
    fabric.put(event("other"))
    faults = Faults()
    batch = mine(batch_id=landed.batch_id)
    assert fabric.appender(faults=faults).append(LANE, batch, unsettled=landed).sequence == 0
    assert faults.calls == ["log.append"]
    assert fabric.logged_ids() == ["mine", "other"]


def test_an_unsettled_batch_that_had_not_landed_goes_to_the_tail() -> None:
    fabric, silent = SubscribedStream(), Faults(nth(1, Fault.LOST_REQUEST, name="log.append"))
    with pytest.raises(IndeterminateAppendError) as raised:
        fabric.appender(faults=silent, timeout_seconds=0).append(LANE, mine())
    fabric.put(event("other"))
    unsettled = cast(Record, raised.value.record)
    assert fabric.appender().append(LANE, mine(), unsettled=unsettled).sequence == 1
    assert fabric.logged_ids() == ["other", "mine"]


def test_a_refusal_of_the_service_is_raised_as_it_is() -> None:
    fabric = SubscribedStream()
    batch = Batch(mine().id, 1, frozenset({"placed"}), bytes(500_000))
    with pytest.raises(RefusedError):
        fabric.appender().append(LANE, batch)
    assert fabric.logged_ids() == []


def test_a_stream_with_retention_puts_the_expiry_into_each_record() -> None:
    fabric = SubscribedStream()
    appender = Appender(
        fabric.origin_log,
        stream="orders",
        clock=fabric.clock,
        entropy=fabric.entropy,
        retention_seconds=86_400,
    )
    appender.append(LANE, mine())
    assert fabric.records()[0].expires_at == fabric.clock.now_ms() // 1000 + 86_400


def test_a_clock_that_runs_back_does_not_take_the_lanes_time_back() -> None:
    fabric = SubscribedStream()
    for jump in (0, 100, 5):
        fabric.clock.set_back(jump)
        fabric.put(event(f"after {jump}"))
    times = [record.time for record in fabric.records()]
    assert times == sorted(set(times))
