"""Publishing into lanes that are split meanwhile: nobody is told, and each key keeps its order."""

from collections.abc import Callable
from typing import Final

import pytest

from eventfabric import Event, Fabric
from eventfabric.errors import (
    IndeterminateAppendError,
    PublishFailedError,
    PublishNotAttemptedError,
    RefusedError,
    ThrottledError,
)
from eventfabric.model import EMPTY_TAIL, Lane, Note, Record, Region, SequenceNumber, seal_at
from eventfabric.ports import Log
from eventfabric.stream_topology import StreamTopology
from eventfabric.testing.memory.faults import Fault, Faults
from eventfabric.wire.payload_codec import unpack
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, lane
from tests.support.producers import always, producer
from tests.support.split_logs import events_of_keys, records_below
from tests.support.split_stream import LANES, LEFT, RIGHT, SplitStream, key_of

ROOT, AWAY_LANE = lane(1), lane(0, AWAY)
LEFT_KEY, RIGHT_KEY, ROOT_KEY = key_of(LEFT), key_of(RIGHT), key_of(ROOT)
BOTH: Final = (LEFT_KEY, RIGHT_KEY)


def publish(fabric: Fabric, key: str, name: str) -> Lane:
    return fabric.publish(STREAM, key=key, type="placed", id=name, data={}).lane


def below(stream: SplitStream, of: Lane = LANE) -> list[Record]:
    return records_below(stream.cloud.log(STREAM, of.origin), of, LANES)


def counted(stream: SplitStream) -> tuple[Fabric, Faults]:
    faults = Faults()
    return producer(stream, {HOME: faults}), faults


def test_a_publisher_that_loses_its_place_to_a_seal_goes_on_in_the_child_of_the_key() -> None:
    stream = SplitStream()
    fabric = producer(stream)
    assert [publish(fabric, key, "before") for key in BOTH] == [LANE, LANE]
    stream.split()
    assert [publish(fabric, key, "after") for key in BOTH] == [LEFT, RIGHT]
    assert events_of_keys(below(stream)) == {key: ["before", "after"] for key in BOTH}
    assert publish(fabric, ROOT_KEY, "other").is_root


def test_a_lane_is_split_again_and_again() -> None:
    stream = SplitStream()
    fabric = producer(stream)
    leaf = LANE
    for number in range(5):
        assert publish(fabric, LEFT_KEY, str(number)) == leaf
        stream.split(leaf)
        leaf = stream.lane_now(LEFT_KEY)
    assert leaf.generation == 5
    assert events_of_keys(below(stream)) == {LEFT_KEY: list("01234")}


def test_a_fresh_process_reads_one_tail_a_level_and_then_none() -> None:
    stream = SplitStream()
    stream.publish("1", key=LEFT_KEY)
    stream.split()
    stream.split(LEFT)
    fabric, faults = counted(stream)
    assert publish(fabric, LEFT_KEY, "2").generation == 2
    assert faults.calls == ["log.tail"] * 3 + ["log.append"]
    faults.calls.clear()
    assert publish(fabric, LEFT_KEY, "3").generation == 2
    assert faults.calls == ["log.append"]


def test_who_knows_the_tail_of_the_parent_pays_one_refused_put_and_one_read_of_the_child() -> None:
    stream = SplitStream()
    fabric, faults = counted(stream)
    publish(fabric, LEFT_KEY, "1")
    stream.split()
    faults.calls.clear()
    publish(fabric, LEFT_KEY, "2")
    assert faults.calls == ["log.append", "log.tail", "log.append"]


def test_a_stream_that_was_never_split_pays_nothing() -> None:
    stream = SplitStream()
    fabric, faults = counted(stream)
    for number in range(3):
        publish(fabric, LEFT_KEY, str(number))
    assert faults.calls == ["log.tail"] + ["log.append"] * 3


@pytest.mark.parametrize("parallel_lanes", [0, 4])
def test_each_event_of_a_bundle_that_was_cut_has_the_receipt_of_its_own_place(parallel_lanes: int) -> None:
    stream = SplitStream()
    fabric = stream.producer(parallel_lanes=parallel_lanes)
    publish(fabric, LEFT_KEY, "0")
    stream.split()
    keys = [*BOTH, ROOT_KEY, key_of(LEFT, 1)]
    names = [f"{key} {number}" for number in range(25) for key in keys]
    with fabric.publisher(STREAM, linger_ms=60_000, events_max=10) as publisher:
        pending = [
            publisher.publish(key=name.rpartition(" ")[0], type="placed", id=name, data={}) for name in names
        ]
    ids = {
        (record.lane, record.sequence + index): event.id
        for record in [*below(stream), *below(stream, ROOT)]
        for index, event in enumerate(unpack(record))
    }
    receipts = [waiting.result() for waiting in pending]
    assert [ids[receipt.lane, receipt.sequence] for receipt in receipts] == names
    assert {receipt.lane for receipt in receipts} == {LEFT, RIGHT, ROOT}


def split_at_append(stream: SplitStream, number: int) -> Callable[[Record], None]:
    """Split a lane before a certain append of a producer, as if another were faster."""
    appends = []

    def before(record: Record) -> None:
        appends.append(record)
        if len(appends) == number:
            stream.split()

    return before


def behind(stream: SplitStream, before: Callable[[Record], None], parallel_lanes: int = 0) -> Fabric:
    def log_of(of: StreamTopology, region: Region) -> Log:
        log = stream.cloud.log(STREAM, region)
        appended = log.append

        def append(record: Record) -> Record | None:
            before(record)
            return appended(record)

        log.append = append  # type: ignore[method-assign]  # on its way to the log
        return log

    return stream.producer(log_of=log_of, parallel_lanes=parallel_lanes)


@pytest.mark.parametrize("parallel_lanes", [0, 3])
@pytest.mark.parametrize("number", range(1, 9))
def test_whenever_the_lane_is_split_each_key_keeps_its_order(number: int, parallel_lanes: int) -> None:
    stream = SplitStream()
    fabric = behind(stream, split_at_append(stream, number), parallel_lanes)
    keys = [key_of(side, index) for side in (LEFT, RIGHT) for index in range(3)]
    with fabric.publisher(STREAM, linger_ms=60_000, events_max=7) as publisher:
        for index in range(10):
            for key in keys:
                publisher.publish(key=key, type="placed", id=str(index), data={})
    records = below(stream)
    assert events_of_keys(records) == {key: [str(index) for index in range(10)] for key in keys}


def test_once_the_seal_is_known_each_lane_has_bundles_of_its_own_as_full_as_ever() -> None:
    stream = SplitStream()
    fabric = behind(stream, split_at_append(stream, 2))
    with fabric.publisher(STREAM, linger_ms=60_000, events_max=10) as publisher:
        for number in range(40):
            for key in BOTH:
                publisher.publish(key=key, type="placed", id=str(number), data={})
    counts = [(record.lane.generation, record.count) for record in below(stream)]
    assert counts == [(0, 10), (0, 1), *[(1, 5), (1, 10), (1, 10), (1, 10)] * 2]


def test_both_halves_keep_the_id_of_the_batch() -> None:
    stream = SplitStream()
    fabric = producer(stream)
    publish(fabric, LEFT_KEY, "0")
    stream.split()
    fabric.publish_many(STREAM, [Event(key=key, type="placed", data={}) for key in BOTH])
    left, right = (record for record in below(stream) if not record.lane.is_root)
    assert (left.lane, right.lane) == (LEFT, RIGHT)
    assert left.batch_id == right.batch_id


def test_an_error_is_that_of_the_half_that_did_not_land() -> None:
    stream = SplitStream()
    denied = list[Record]()

    def before(record: Record) -> None:
        if record.lane == RIGHT and not denied:
            denied.append(record)
            raise RefusedError("append", "no")

    fabric = behind(stream, before)
    publish(fabric, LEFT_KEY, "0")
    stream.split()
    events = [Event(key=key, type="placed", id=key, data={}) for key in (*BOTH, key_of(LEFT, 1))]
    with pytest.raises(PublishFailedError) as raised, fabric.publisher(STREAM, linger_ms=60_000) as publisher:
        for event in events:
            publisher.publish_event(event)
    assert [(event_id, type(error)) for event_id, error in raised.value.failures] == [
        (RIGHT_KEY, RefusedError)
    ]
    assert events_of_keys(below(stream)) == {LEFT_KEY: ["0", LEFT_KEY], key_of(LEFT, 1): [key_of(LEFT, 1)]}


def test_what_is_behind_a_half_that_failed_is_not_attempted() -> None:
    stream = SplitStream()

    def before(record: Record) -> None:
        if record.lane == LEFT:
            raise RefusedError("append", "no")

    fabric = behind(stream, before)
    publish(fabric, LEFT_KEY, "0")
    stream.split()
    publisher = fabric.publisher(STREAM, linger_ms=60_000)
    for key in BOTH:
        publisher.publish(key=key, type="placed", id=key, data={})
    with pytest.raises(PublishFailedError) as raised:
        publisher.close()
    kinds = {event_id: type(error) for event_id, error in raised.value.failures}
    assert kinds == {LEFT_KEY: RefusedError, RIGHT_KEY: PublishNotAttemptedError}
    assert events_of_keys(below(stream)) == {LEFT_KEY: ["0"]}


def test_a_batch_in_doubt_is_settled_in_the_children_if_its_place_went_to_the_seal() -> None:
    stream, faults = SplitStream(), Faults()
    fabric = producer(stream, {HOME: faults})
    publish(fabric, LEFT_KEY, "0")
    faults.rules.append(always(Fault.LOST_REQUEST, "log.append"))
    with pytest.raises(PublishFailedError) as failed:
        fabric.publish_many(STREAM, [Event(key=key, type="placed", id=key, data={}) for key in BOTH])
    error = failed.value.failures[0][1]
    assert isinstance(error, IndeterminateAppendError)
    faults.heal()
    stream.split()
    receipts = fabric.publish_again(error)
    assert [(receipt.event_id, receipt.lane) for receipt in receipts] == [
        (LEFT_KEY, LEFT),
        (RIGHT_KEY, RIGHT),
    ]
    assert events_of_keys(below(stream)) == {LEFT_KEY: ["0", LEFT_KEY], RIGHT_KEY: [RIGHT_KEY]}


def test_a_batch_that_stands_before_the_seal_is_found_there() -> None:
    stream = SplitStream()
    faults = Faults()
    fabric = producer(stream, {HOME: faults})
    publish(fabric, LEFT_KEY, "0")
    faults.rules.append(always(Fault.LOST_REPLY, "log.append"))
    with pytest.raises(IndeterminateAppendError) as raised:
        publish(fabric, LEFT_KEY, "1")
    faults.heal()
    stream.split()
    (receipt,) = producer(stream).publish_again(raised.value)
    assert (receipt.lane, receipt.sequence) == (LANE, 1)
    assert events_of_keys(below(stream)) == {LEFT_KEY: ["0", "1"]}


def test_where_the_other_region_has_another_tree_a_batch_goes_by_that_one() -> None:
    stream = SplitStream()
    faults = {HOME: Faults(), AWAY: Faults()}
    fabric = producer(stream, faults, failover=[AWAY])
    publish(fabric, LEFT_KEY, "0")
    stream.split()
    assert publish(fabric, LEFT_KEY, "1") == LEFT
    faults[HOME].rules.append(always(Fault.LOST_REQUEST))
    assert str(publish(fabric, LEFT_KEY, "2")) == f"{AWAY}/0.0"
    (record,) = below(stream, AWAY_LANE)
    assert record.lane == AWAY_LANE
    faults[AWAY].calls.clear()
    publish(fabric, LEFT_KEY, "3")
    assert faults[AWAY].calls == ["log.append"]


@pytest.mark.parametrize("landed", [True, False])
def test_a_batch_that_fails_over_is_cut_there_with_its_note(landed: bool) -> None:
    stream = SplitStream()
    faults = {HOME: Faults(), AWAY: Faults()}
    fabric = producer(stream, faults, failover=[AWAY])
    publish(fabric, LEFT_KEY, "0")
    seal = seal_at(EMPTY_TAIL, AWAY_LANE, now_ms=stream.clock.now_ms())
    assert stream.cloud.log(STREAM, AWAY).append(seal) is None
    faults[HOME].rules.append(always(Fault.LOST_REPLY if landed else Fault.LOST_REQUEST, "log.append"))
    events = [Event(key=key, type="placed", id=key, data={}) for key in BOTH]
    receipts = fabric.publish_many(STREAM, events)
    left, right = (record for record in below(stream, AWAY_LANE) if not record.is_seal)
    assert [receipt.lane for receipt in receipts] == [left.lane, right.lane] == [*AWAY_LANE.children]
    assert left.batch_id == right.batch_id
    assert left.note == right.note == Note(LANE, SequenceNumber(1))
    assert len(below(stream)) == 1 + landed


def test_the_half_of_a_noted_batch_that_finds_no_place_is_settled_where_the_whole_may_stand() -> None:
    stream = SplitStream()
    faults = {HOME: Faults()}
    refused = []

    def log_of(of: StreamTopology, region: Region) -> Log:
        log = (
            faults[HOME].log(stream.cloud.log(STREAM, HOME))
            if region == HOME
            else stream.cloud.log(STREAM, AWAY)
        )
        appended = log.append

        def append(record: Record) -> Record | None:
            if record.lane == AWAY_LANE.children[1]:
                refused.append(record)
                raise ThrottledError("append", "busy")
            return appended(record)

        if region == AWAY:
            log.append = append  # type: ignore[method-assign]  # on its way to the log
        return log

    fabric = stream.producer(log_of=log_of, failover=[AWAY], append_timeout_seconds=10)
    publish(fabric, LEFT_KEY, "0")
    seal = seal_at(EMPTY_TAIL, AWAY_LANE, now_ms=stream.clock.now_ms())
    assert stream.cloud.log(STREAM, AWAY).append(seal) is None
    faults[HOME].rules.append(always(Fault.LOST_REQUEST, "log.append"))
    with pytest.raises(PublishFailedError) as failed:
        fabric.publish_many(STREAM, [Event(key=key, type="placed", id=key, data={}) for key in BOTH])
    ((event_id, error),) = failed.value.failures
    assert refused
    assert isinstance(error, IndeterminateAppendError)
    assert (event_id, error.record.lane) == (RIGHT_KEY, LANE)
    assert isinstance(error.record, Record)
    assert error.record.count == 2
    faults[HOME].heal()
    (receipt,) = fabric.publish_again(error)
    # The whole batch lands there. Whoever delivers it takes one copy of each part.
    assert (receipt.event_id, receipt.lane, receipt.sequence) == (RIGHT_KEY, LANE, 2)
    assert events_of_keys(below(stream)) == {LEFT_KEY: ["0", LEFT_KEY], RIGHT_KEY: [RIGHT_KEY]}
    assert events_of_keys(below(stream, AWAY_LANE)) == {LEFT_KEY: [LEFT_KEY]}
