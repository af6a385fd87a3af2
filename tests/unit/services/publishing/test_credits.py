"""Producers of a stream that subscriptions gate: what they know of its credits, and what they append by that."""

import logging
from collections.abc import Sequence

import pytest

from eventfabric.errors import (
    BackpressureError,
    BufferFullError,
    ContendedAppendError,
    IndeterminateAppendError,
    LastingError,
    OutcomeUnknownError,
)
from eventfabric.model import (
    Batch,
    LaneKey,
    Record,
    Region,
    SequenceNumber,
    StreamName,
    SubscriptionName,
)
from eventfabric.model.credit import Grants
from eventfabric.services.publishing.append import Appender
from eventfabric.services.publishing.credits import Gate, KnownCredits
from eventfabric.testing.memory.faults import Fault, Faults, nth
from eventfabric.wire.payload_codec import unpack
from tests.support.appends import Half, at_call
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, batch_of, event, lane
from tests.support.subscribed_stream import SubscribedStream

BILLING, SEARCH = Gate(SubscriptionName("billing")), Gate(SubscriptionName("search"))


class Gated:
    """A stream with gates, and a producer that knows them. `reads`: gates that were read, one after the other."""

    def __init__(self, *gates: Gate, faults: Faults | None = None, timeout_seconds: float = 1) -> None:
        self.fabric = SubscribedStream()
        self.gates: tuple[Gate, ...] = gates
        self.clock = self.fabric.clock
        self.reads: list[str] = []
        self.failure: Exception | None = None
        self.old: dict[Region, Grants] | None = None
        self.faults = faults or Faults()
        self.known = KnownCredits(
            self, StreamName(STREAM), Region(HOME), gates=lambda: self.gates, clock=self.clock, entropy=Half()
        )
        self.appender = Appender(
            self.faults.log(self.fabric.origin_log),
            stream=STREAM,
            clock=self.clock,
            entropy=Half(),
            timeout_seconds=timeout_seconds,
            credits=lambda: self.known if self.gates else None,
        )

    def granted(
        self, stream: StreamName, subscription: SubscriptionName, origin: Region, *, part: int
    ) -> dict[Region, Grants]:
        self.reads.append(subscription)
        if self.failure is not None:
            raise self.failure
        if self.old is not None:
            return self.old
        return self.fabric.cloud.credits(HOME).granted(stream, subscription, origin, part=part)

    def grant(self, key: LaneKey, grant: SequenceNumber) -> SequenceNumber:
        raise AssertionError("a producer grants nothing")

    def forget(self, stream: StreamName, subscription: SubscriptionName, origin: Region, *, part: int) -> int:
        raise AssertionError("a producer deletes no grants")

    def grants(self, grant: int, gate: Gate = BILLING, index: int = 0, region: str = HOME) -> None:
        key = LaneKey(StreamName(STREAM), gate.subscription, lane(index))
        self.fabric.cloud.credits(region).grant(key, SequenceNumber(grant))

    def append(self, count: int = 1, index: int = 0, *, is_atomic: bool = False) -> Record:
        events = [event(f"e{number}") for number in range(count)]
        batch = batch_of(events, bytes([count]) * 16)
        return self.appender.append(lane(index), batch, is_atomic=is_atomic)

    def is_held(self, count: int = 1, index: int = 0) -> bool:
        try:
            self.append(count, index)
        except BackpressureError:
            return True
        return False

    def pass_seconds(self, seconds: float) -> None:
        self.clock.sleep(seconds)


def ids(records: Sequence[Record]) -> list[list[str | None]]:
    return [[event.id for event in unpack(record)] for record in records]


def test_a_stream_without_gates_costs_no_read() -> None:
    gated = Gated()
    gated.append(3)
    assert (gated.reads, gated.faults.calls) == ([], ["log.tail", "log.append"])


def test_the_first_append_of_a_process_reads_each_gate_and_the_next_ones_know() -> None:
    gated = Gated(BILLING, SEARCH)
    for gate in (BILLING, SEARCH):
        gated.grants(100, gate)
    for _ in range(5):
        gated.append()
    assert gated.reads == ["billing", "search"]


def test_what_cannot_be_cut_begins_below_the_grant_and_ends_where_it_ends() -> None:
    gated = Gated(BILLING)
    gated.grants(2)
    assert gated.append(5, is_atomic=True).count == 5
    with pytest.raises(BackpressureError) as caught:
        gated.append(is_atomic=True)
    error = caught.value
    assert isinstance(error, BufferFullError)
    assert (error.stream, error.lane, error.gates, error.grant) == (STREAM, LANE, ("billing",), 2)
    assert (error.retryable, error.no_effect) == (True, True)
    assert 0 < error.retry_after <= 1.25


def test_a_record_takes_a_quarter_of_what_is_left_where_others_append_and_the_rest_after_the_next_read() -> (
    None
):
    gated = Gated(BILLING)
    gated.grants(8)
    first = gated.append(20)
    assert (first.sequence, first.count) == (0, 2)
    assert gated.is_held(18)
    gated.pass_seconds(2)
    # Nobody else has appended there meanwhile.
    second = gated.append(18)
    assert (second.sequence, second.count) == (2, 6)
    assert gated.is_held(12)
    assert ids([first, second]) == [["e0", "e1"], [f"e{number}" for number in range(6)]]


def test_a_lane_goes_on_once_more_is_granted_and_reads_at_most_once_a_second() -> None:
    gated = Gated(BILLING)
    gated.grants(1)
    gated.append()
    assert all(gated.is_held() for _ in range(10))
    assert gated.reads == ["billing"]
    gated.pass_seconds(1)
    assert all(gated.is_held() for _ in range(10))
    assert gated.reads == ["billing"] * 2
    gated.grants(2)
    assert gated.is_held()
    gated.pass_seconds(1)
    assert not gated.is_held()


def test_a_lane_that_is_held_does_not_read_its_tail_again() -> None:
    gated = Gated(BILLING)
    gated.fabric.put(event("other"))
    gated.grants(1)
    for _ in range(5):
        assert gated.is_held()
        gated.pass_seconds(1)
    assert gated.faults.calls == ["log.tail"]


def test_the_least_that_is_granted_counts_and_gates_that_bind_are_read_in_turn() -> None:
    gated = Gated(BILLING, SEARCH)
    gated.grants(1, BILLING)
    gated.grants(1, SEARCH)
    gated.append()
    for _ in range(4):
        gated.pass_seconds(1)
        assert gated.is_held()
    assert sorted(gated.reads) == ["billing"] * 3 + ["search"] * 3
    gated.grants(9, BILLING)
    for _ in range(2):
        gated.pass_seconds(1)
        assert gated.is_held()
    before = len(gated.reads)
    for _ in range(3):
        gated.pass_seconds(1)
        assert gated.is_held()
    assert gated.reads[before:] == ["search"] * 3


def test_a_lane_in_which_nothing_is_granted_is_not_gated_and_is_looked_for_again_after_a_while() -> None:
    gated = Gated(BILLING)
    gated.append(3)
    gated.pass_seconds(4)
    gated.append(3)
    assert gated.reads == ["billing"]
    gated.grants(6)
    gated.pass_seconds(1)
    assert gated.is_held()
    assert gated.reads == ["billing"] * 2


def test_other_lanes_of_the_stream_go_on() -> None:
    gated = Gated(BILLING)
    gated.grants(1, index=0)
    gated.grants(100, index=1)
    gated.append(index=0)
    assert gated.is_held(index=0)
    assert not gated.is_held(index=1)


def test_credit_is_looked_at_again_where_another_producer_took_the_place() -> None:
    gated = Gated(BILLING)
    gated.grants(2)
    gated.faults.rules.extend(
        at_call("log.append", 1, lambda: gated.fabric.put(event("o1"), event("o2"))).rules
    )
    assert gated.is_held()
    assert gated.faults.calls == ["log.tail", "log.append"]


def test_a_record_whose_put_had_no_reply_is_settled_where_it_was_put_whatever_is_granted() -> None:
    gated = Gated(BILLING, faults=Faults(nth(2, Fault.LOST_REPLY)))
    gated.grants(1)
    assert gated.append(is_atomic=True).sequence == 0
    assert gated.faults.calls == ["log.tail", "log.append", "log.append"]
    assert gated.is_held()


def test_a_doubt_is_of_the_events_that_were_put_and_not_of_those_that_were_cut_off() -> None:
    gated = Gated(
        BILLING, faults=Faults(lambda name, *_: Fault.LOST_REQUEST if name == "log.append" else None)
    )
    gated.grants(8)
    with pytest.raises(IndeterminateAppendError) as caught:
        gated.append(20)
    assert isinstance(caught.value.batch, Batch)
    assert isinstance(caught.value.record, Record)
    assert (caught.value.batch.count, caught.value.record.count) == (2, 2)
    gated.faults.rules.clear()
    settled = gated.appender.append(LANE, caught.value.batch, unsettled=caught.value.record)
    assert settled == caught.value.record


def test_grants_of_the_region_that_granted_most_count_but_only_the_own_where_each_region_delivers() -> None:
    everywhere = Gate(SubscriptionName("everywhere"), is_everywhere=True)
    for gate, is_held in ((BILLING, False), (everywhere, True)):
        gated = Gated(gate)
        gated.grants(1, gate)
        gated.grants(9, gate, region=AWAY)
        gated.fabric.cloud.replicate()
        gated.append()
        assert gated.is_held() is is_held


def test_of_several_gates_each_is_looked_for_again_before_the_next_append() -> None:
    gated = Gated(BILLING, SEARCH)
    gated.append()
    for gate in (BILLING, SEARCH):
        gated.grants(1, gate)
    gated.pass_seconds(60)
    gated.reads.clear()
    assert gated.is_held()
    assert gated.reads[:2] == ["billing", "search"]


def test_a_gate_that_is_retired_holds_nobody_back() -> None:
    gated = Gated(BILLING)
    gated.grants(1)
    gated.append()
    assert gated.is_held()
    gated.gates = ()
    assert not gated.is_held()


def test_a_read_that_is_denied_gates_nothing_and_is_warned_of_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gated = Gated(BILLING)
    gated.failure = LastingError("read credits", "no right", "denied")
    with caplog.at_level(logging.WARNING, "eventfabric"):
        for _ in range(30):
            gated.append()
            gated.pass_seconds(2)
    assert len(caplog.records) == 1
    assert len(gated.reads) == 10
    gated.failure = None
    gated.grants(1)
    gated.pass_seconds(5)
    assert gated.is_held()


def test_a_read_that_fails_otherwise_is_repeated_until_the_time_is_up_and_nothing_is_written() -> None:
    gated = Gated(BILLING)
    gated.failure = OutcomeUnknownError("read credits", "no reply")
    with pytest.raises(ContendedAppendError) as caught:
        gated.append()
    assert caught.value.__cause__ is gated.failure
    assert len(gated.reads) > 1
    assert "log.append" not in gated.faults.calls
    gated.failure = None
    assert not gated.is_held()


def test_what_is_known_never_shrinks_when_a_read_is_older_than_the_one_before() -> None:
    gated = Gated(BILLING)
    gated.grants(1)
    gated.append()
    old = gated.granted(StreamName(STREAM), BILLING.subscription, Region(HOME), part=0)
    gated.grants(2)
    gated.pass_seconds(1)
    gated.append()
    assert gated.is_held()
    gated.old = old
    gated.pass_seconds(1)
    with pytest.raises(BackpressureError) as caught:
        gated.append()
    assert caught.value.grant == 2
