"""Splits by operators: what is refused, the race for the lane's end, and what is told beforehand."""

from dataclasses import replace

import pytest

from eventfabric.errors import SettingError, SplitRefusedError
from eventfabric.formats import WITH_SEALS, Formats
from eventfabric.model import (
    DeclarationLane,
    InterventionKind,
    Lane,
    Mark,
    Marks,
    SequenceNumber,
    StreamName,
)
from eventfabric.ports import Ports
from eventfabric.services.catalogue.deployment import Deployer
from eventfabric.services.operations.split import Split
from eventfabric.testing.memory.faults import Fault, Faults, nth
from tests.support.appends import at_call
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event, lane
from tests.support.split_stream import LEFT, RIGHT, SplitStream, key_of
from tests.support.subscribed_stream import SubscribedStream

LOW, HIGH = key_of(LEFT), key_of(RIGHT)


def require(fabric: SubscribedStream, formats: Formats = WITH_SEALS) -> None:
    """Declare what is deployed, and that it knows these formats and the stream requires them."""
    ports = fabric.ports()
    fabric.declare()
    deployer = Deployer(fabric.topology, HOME, ports, by="test", request_id="formats")
    deployer.declare_formats(fabric.stream, formats)


def ready(**settings: object) -> SplitStream:
    fabric = SplitStream(**settings)  # type: ignore[arg-type]  # any setting of a subscription
    require(fabric)
    return fabric


def split_of(fabric: SubscribedStream, *, faults: Faults | None = None) -> Split:
    ports: Ports = fabric.ports() if faults is None else faults.ports(fabric.ports())
    return Split(fabric.stream, ports)


class TestSplit:
    def test_a_lane_ends_with_its_seal_and_goes_on_in_its_children(self) -> None:
        fabric = ready()
        fabric.publish("l0", key=LOW)
        done = split_of(fabric).split(LANE, by="ada", reason="hot")
        assert (done.children, done.seal.sequence) == ((LEFT, RIGHT), 1)
        assert fabric.log.tail(LANE).is_sealed
        (noted,) = fabric.log.interventions(LANE)
        assert (noted.kind, noted.by, noted.sequence) == (InterventionKind.SPLIT, "ada", 1)
        assert noted.reason == f"into {LEFT} and {RIGHT}; hot"
        fabric.publish("l1", key=LOW)
        fabric.publish("h1", key=HIGH)
        fabric.run_all()
        assert fabric.recorder.ids(LEFT) == ["l1"]
        assert fabric.recorder.ids(RIGHT) == ["h1"]

    def test_an_empty_lane_and_a_child_can_be_split(self) -> None:
        fabric = ready()
        assert split_of(fabric).split(LANE, by="ada").seal.sequence == 0
        assert split_of(fabric).split(LEFT, by="ada").seal.sequence == 1
        assert fabric.tail_of(LEFT).is_sealed

    def test_what_is_appended_meanwhile_stands_before_the_seal(self) -> None:
        fabric = ready()
        faults = at_call("log.append", 1, lambda: fabric.publish("l0", key=LOW))
        done = split_of(fabric, faults=faults).split(LANE, by="ada")
        assert done.seal.sequence == 1
        assert [record.is_seal for record in fabric.records(LANE)] == [False, True]

    @pytest.mark.parametrize("fault", [Fault.LOST_REPLY, Fault.LOST_REQUEST])
    def test_a_reply_that_is_lost_is_looked_after(self, fault: Fault) -> None:
        fabric = ready()
        fabric.publish("l0", key=LOW)
        faults = Faults(nth(1, fault, name="log.append"))
        assert split_of(fabric, faults=faults).split(LANE, by="ada").seal.sequence == 1
        assert [record.is_seal for record in fabric.records(LANE)] == [False, True]

    def test_of_two_splits_at_once_both_tell_of_the_one_seal(self) -> None:
        fabric = ready()
        faults = at_call("log.append", 1, lambda: split_of(fabric).split(LANE, by="bob"))
        assert split_of(fabric, faults=faults).split(LANE, by="ada").seal.sequence == 0
        assert len(fabric.records(LANE)) == 1


class TestRefusals:
    def refused(self, fabric: SubscribedStream, of: Lane = LANE) -> str:
        before = fabric.records(of)
        with pytest.raises(SplitRefusedError) as refusal:
            split_of(fabric).split(of, by="ada")
        assert fabric.records(of) == before
        return str(refusal.value)

    def test_a_stream_that_does_not_require_the_format_of_seals(self) -> None:
        fabric = SplitStream()
        raises = "eventfabric formats raise orders --reads 2, later --writes 2"
        assert raises in self.refused(fabric)
        require(fabric, Formats(reads=2, writes=1))
        assert raises in self.refused(fabric)

    def test_a_lane_that_was_split(self) -> None:
        fabric = ready()
        split_of(fabric).split(LANE, by="ada")
        assert f"split already, into {LEFT} and {RIGHT}" in self.refused(fabric)

    def test_a_lane_of_another_region(self) -> None:
        assert f"written in {AWAY}" in self.refused(ready(), lane(0, AWAY))

    def test_a_lane_of_declarations(self) -> None:
        assert "declarations" in self.refused(ready(), DeclarationLane.of(HOME, StreamName(STREAM)))

    def test_a_lane_of_a_quorum_stream(self) -> None:
        assert "quorum" in self.refused(SubscribedStream(durability="quorum"))

    def test_a_lane_at_the_limit(self) -> None:
        fabric = SubscribedStream(lanes=4096)
        require(fabric)
        assert "up to 4,096 of an origin" in self.refused(fabric)

    def test_a_lane_whose_end_is_in_doubt(self) -> None:
        fabric = ready()
        fabric.publish("l0", key=LOW)
        record = fabric.record(replace(fabric.tail_of(LANE), sequence=SequenceNumber(4)), event("x"))
        fabric.log.append(record)
        assert "something stands at 4" in self.refused(fabric)

    def test_a_lane_that_was_known_to_go_further(self) -> None:
        fabric = ready()
        marks = Marks({LANE.number: Mark(SequenceNumber(7))})
        assert fabric.ledger.mark(StreamName(STREAM), HOME, Marks(), marks)
        assert "known up to 7" in self.refused(fabric)

    def test_a_lane_that_the_stream_does_not_have(self) -> None:
        with pytest.raises(SettingError, match="into which they were split"):
            split_of(ready()).look(LEFT)


class TestLook:
    def test_small_records_go_to_one_child_each(self) -> None:
        fabric = ready()
        for number in range(20):
            fabric.publish(f"e{number}", key=(LOW, HIGH)[number % 2])
            fabric.clock.advance(0.5)
        rate = split_of(fabric).look(LANE)
        assert (rate.records_per_second, rate.events_per_second, rate.events_per_record) == (2.0, 2.0, 1.0)
        assert [(child.lane, child.records_per_second) for child in rate.children] == [
            (LEFT, 1.0),
            (RIGHT, 1.0),
        ]
        assert rate.cools
        assert not fabric.log.tail(LANE).is_sealed

    def test_packed_records_are_cut_in_two_and_cool_nothing(self) -> None:
        fabric = ready()
        for number in range(20):
            fabric.put(event(f"l{number}", key=LOW), event(f"h{number}", key=HIGH))
            fabric.clock.advance(0.5)
        rate = split_of(fabric).look(LANE)
        assert (rate.records_per_second, rate.events_per_record) == (2.0, 2.0)
        assert [child.records_per_second for child in rate.children] == [2.0, 2.0]
        assert [child.events_per_second for child in rate.children] == [2.0, 2.0]
        assert not rate.cools

    def test_a_key_that_is_most_of_a_lane_stays_in_one_child(self) -> None:
        fabric = ready()
        for number in range(10):
            fabric.publish(f"e{number}", key=LOW)
            fabric.clock.advance(1)
        assert not split_of(fabric).look(LANE).cools

    def test_a_lane_without_records_has_no_rate(self) -> None:
        rate = split_of(ready()).look(LANE)
        assert (rate.records_per_second, rate.events_per_record) == (0.0, 0.0)
