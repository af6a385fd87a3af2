"""How far lanes go on without a wanted event: read once for several cursors, and believed only along the chain."""

from dataclasses import replace

from eventfabric.model import START, Chain, Cursor, SequenceNumber, SubscriptionFilter
from eventfabric.services.lanes.unwanted import UnwantedRecords
from tests.support.memory_fabric import LANE, event
from tests.support.recorded_reads import RecordingLog
from tests.support.subscribed_stream import SubscribedStream

WRONG = Chain(b"x" * 16)


def stream_of(*records: tuple[str, ...]) -> SubscribedStream:
    """A stream with a record of each of these tuples of types, whose subscription wants `paid`."""
    fabric = SubscribedStream(types=["paid"])
    for number, types in enumerate(records):
        fabric.put(*(event(f"{number}-{index}", type=type_) for index, type_ in enumerate(types)))
    return fabric


def test_records_are_read_once_for_all_cursors_and_each_stops_at_what_it_wants() -> None:
    fabric = stream_of(("placed", "placed"), ("placed",), ("paid",))
    log = RecordingLog(fabric.log)
    records, end = UnwantedRecords(log, LANE), SequenceNumber(4)
    wanted = SubscriptionFilter.of(fabric.subscription.definition)
    others = SubscriptionFilter(frozenset({"sent"}))
    ahead = records.ahead(START, wanted, until=end)
    assert (ahead.sequence, ahead.chain) == (3, fabric.log.tail(LANE, before=SequenceNumber(3)).chain)
    assert records.ahead(START, others, until=end).sequence == 4
    assert len(log.reads) == 1


def test_a_cursor_of_another_chain_stays_where_it_is() -> None:
    fabric = stream_of(("placed",), ("placed",))
    records, end = UnwantedRecords(fabric.log, LANE), SequenceNumber(2)
    wanted = SubscriptionFilter.of(fabric.subscription.definition)
    assert records.ahead(START, wanted, until=end).sequence == 2
    wrong = replace(START, chain=WRONG)
    assert records.ahead(wrong, wanted, until=end) == wrong


def test_a_cursor_within_a_record_with_something_wanted_does_not_go_back() -> None:
    fabric = stream_of(("paid", "placed"), ("placed",))
    wanted = SubscriptionFilter.of(fabric.subscription.definition)
    midway = Cursor(SequenceNumber(1), SequenceNumber(0), START.chain)
    assert UnwantedRecords(fabric.log, LANE).ahead(midway, wanted, until=SequenceNumber(3)) == midway
