"""Two writers with the same random bytes, as copied processes had: neither takes the other's writes for its own."""

from dataclasses import replace
from typing import Any

from eventfabric.errors import ThrottledError
from eventfabric.model import (
    START,
    Committed,
    LaneKey,
    RaceLost,
    Record,
    SequenceNumber,
    StepKey,
    StepState,
    StreamName,
    SubscriptionName,
)
from eventfabric.ports import Log
from eventfabric.services.publishing.append import Appender
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.testing.memory.faults import Fault, Faults, nth
from eventfabric.testing.memory.ledger import MemoryLedger
from eventfabric.testing.memory.steps import MemorySteps
from eventfabric.wire.payload_codec import unpack
from tests.support.memory_fabric import HOME, LANE, STREAM, batch_of, event
from tests.support.subscribed_stream import SubscribedStream

SAME_ID = b"copied".ljust(16)


def names(fabric: SubscribedStream) -> list[str | None]:
    records = fabric.origin_log.read(LANE, SequenceNumber(0), records_max=100).records
    return [event.id for record in records for event in unpack(record)]


def test_two_publishers_with_the_same_batch_id_both_have_their_events_in_the_log() -> None:
    fabric = SubscribedStream()
    first, second = fabric.appender(), fabric.appender()
    assert first.append(LANE, batch_of([event("first")], SAME_ID)).sequence == 0
    assert second.append(LANE, batch_of([event("second")], SAME_ID)).sequence == 1
    assert names(fabric) == ["first", "second"]


class MasksALostReply:
    """A log whose client tries again by itself: the first reply is lost, and the second try is throttled."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._masked = False
        self.put: list[Record] = []

    def append(self, record: Record) -> Record | None:
        self.put.append(record)
        occupant = self._log.append(record)
        if not self._masked:
            self._masked = True
            raise ThrottledError("append", "the second try")
        return occupant


def test_a_throttled_record_is_put_again_as_it_was_so_that_a_try_which_landed_is_known() -> None:
    fabric = SubscribedStream()
    log: Any = MasksALostReply(fabric.origin_log)
    log.recent, log.place = fabric.origin_log.recent, fabric.origin_log.place
    log.tail, log.read = fabric.origin_log.tail, fabric.origin_log.read
    appender = Appender(log, stream=STREAM, clock=fabric.clock, entropy=SeededEntropy(3))
    appender.append(LANE, batch_of([event("once")], SAME_ID))
    assert names(fabric) == ["once"]
    assert log.put[0] == log.put[1]


def test_a_record_whose_expiry_was_put_off_meanwhile_is_still_known() -> None:
    fabric, faults = SubscribedStream(), Faults(nth(1, Fault.LOST_REPLY, name="log.append"))
    kept = faults.log(fabric.origin_log)
    appended = kept.append

    def append(record: Record) -> Record | None:
        occupant = appended(record)
        return occupant and replace(occupant, expires_at=(occupant.expires_at or 0) + 86_400)

    kept.append = append  # type: ignore[method-assign]  # reconciliation keeps the newest record in between
    Appender(
        kept, stream=STREAM, clock=fabric.clock, entropy=fabric.entropy, retention_seconds=86_400
    ).append(LANE, batch_of([event("once")], SAME_ID))
    assert names(fabric) == ["once"]


def test_two_consumers_with_the_same_token_do_not_both_win_a_race() -> None:
    fabric = SubscribedStream()
    key = LaneKey(StreamName(STREAM), SubscriptionName("all"), LANE)
    region = fabric.cloud.regions[HOME]
    table = fabric.topology.ledger_of(STREAM).name

    def ledger() -> MemoryLedger:
        return MemoryLedger(region, lambda _: table, entropy=SeededEntropy(7))

    first = ledger().commit(key, START, replace(START, sequence=SequenceNumber(5)))
    assert isinstance(first, Committed)
    assert ledger().commit(key, START, replace(START, sequence=SequenceNumber(9))) == RaceLost()


def test_two_attempts_with_the_same_token_do_not_both_begin_a_step() -> None:
    fabric = SubscribedStream()
    region, table = fabric.cloud.regions[HOME], fabric.topology.ledger_of(STREAM).name
    key = StepKey(StreamName(STREAM), SubscriptionName("all"), "charge", "/shop/orders", "e1")

    def steps() -> MemorySteps:
        return MemorySteps(region, table, retention_seconds=60, entropy=SeededEntropy(7))

    assert steps().begin(key) is None
    fabric.clock.advance(1_000)
    assert steps().begin(key) == StepState(done=False)
