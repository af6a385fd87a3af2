"""Items that an operator may set aside from a lane, and those that stay."""

import re

import pytest

from eventfabric import limits
from eventfabric.errors import QuarantineRefusedError
from eventfabric.model import Chain, SequenceNumber
from eventfabric.services.operations.quarantine import Quarantine
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from eventfabric.wire import record_item
from eventfabric.wire.item_size import item_bytes
from tests.support.appends import mine
from tests.support.expiry import reconciled
from tests.support.log_items import FAR, delete, fabric_with, forged, put, quarantine_of
from tests.support.memory_fabric import AWAY, HOME, LANE, event
from tests.support.messages import TextWith, raises_with


def test_a_far_item_is_set_aside_in_every_region_and_stays_on_record() -> None:
    fabric = fabric_with(3)
    put(fabric, forged(fabric, FAR))
    fabric.cloud.replicate()
    assert quarantine_of(fabric).fault(LANE, FAR) == TextWith("behind 3", "lane ends")
    assert fabric.log.interventions(LANE) == ()
    aside = quarantine_of(fabric).set_aside(LANE, FAR, by="ana", reason="a test")
    fabric.cloud.replicate()
    for region in (HOME, AWAY):
        log = fabric.in_region(region).log
        assert (log.tail(LANE).sequence, log.interventions(LANE)) == (3, (aside,))
    assert (aside.by, aside.reason) == ("ana", TextWith("behind 3", "lane ends", "a test"))
    assert fabric.appender().append(LANE, mine()).sequence == 3
    while fabric.relay():  # what was set aside is no news of the lane
        pass
    fabric.deliver()
    assert reconciled(fabric) == []


def test_a_record_that_does_not_extend_the_lane_is_set_aside_and_publishing_goes_on() -> None:
    fabric = fabric_with(3)
    put(fabric, forged(fabric, 3, chain=Chain(b"!" * 16)))
    quarantine_of(fabric).set_aside(LANE, SequenceNumber(3), by="ana", reason="")
    assert fabric.appender().append(LANE, mine()).sequence == 3


def test_what_cannot_be_decoded_and_what_lies_over_another_are_set_aside_too() -> None:
    fabric = fabric_with(2)
    wide = fabric.put(event("w0"), event("w1"), event("w2"))
    put(fabric, forged(fabric, wide.sequence + 1))
    item = {**record_item.to_item(forged(fabric, FAR)), "t": {"S": "no set"}}
    fabric.table.write("Put", {"Item": item})
    interventions = [
        quarantine_of(fabric).set_aside(LANE, SequenceNumber(sequence), by="ana", reason="")
        for sequence in (FAR, 3)
    ]
    assert fabric.log.interventions(LANE) == (interventions[1], interventions[0])
    assert fabric.log.tail(LANE) == wide.tail


def test_of_several_that_cannot_be_decoded_each_is_set_aside_in_any_order() -> None:
    fabric = fabric_with(2)
    for sequence in (2, 9, FAR):
        item = {**record_item.to_item(forged(fabric, sequence)), "t": {"S": "no set"}}
        fabric.table.write("Put", {"Item": item})
    for sequence in (FAR, 2, 9):
        quarantine_of(fabric).set_aside(LANE, SequenceNumber(sequence), by="ana", reason="")
    assert (len(fabric.log.interventions(LANE)), fabric.log.tail(LANE).sequence) == (3, 2)


def test_what_stands_behind_one_that_cannot_be_decoded_waits_for_that() -> None:
    fabric = fabric_with(2)
    item = {**record_item.to_item(forged(fabric, 2)), "t": {"S": "no set"}}
    fabric.table.write("Put", {"Item": item})
    put(fabric, forged(fabric, 3))
    with raises_with(QuarantineRefusedError, f"{LANE}@3", "at 2", "cannot be read"):
        quarantine_of(fabric).fault(LANE, SequenceNumber(3))


def test_one_that_was_interrupted_goes_on() -> None:
    fabric = fabric_with(3)
    put(fabric, forged(fabric, FAR))
    faults = Faults(nth(1, Fault.CRASH_AFTER, name="log.set_aside"))
    broken = Quarantine(faults.log(fabric.log), region=HOME, clock=fabric.clock)
    with pytest.raises(SimulatedCrash):
        broken.set_aside(LANE, FAR, by="ana", reason="")
    put(fabric, forged(fabric, FAR))  # as if it had died before it was taken out
    quarantine_of(fabric).set_aside(LANE, FAR, by="ana", reason="")
    assert (len(fabric.log.interventions(LANE)), fabric.log.tail(LANE).sequence) == (1, 3)


@pytest.mark.parametrize(
    ("sequence", "message"), [(1, "the lane's own"), (4, "records are missing"), (9, "nothing stands there")]
)
def test_what_is_the_lanes_own_or_is_mended_otherwise_stays(sequence: int, message: str) -> None:
    fabric = fabric_with(5)
    delete(fabric, fabric.records()[3])
    before = fabric.table.items
    with pytest.raises(QuarantineRefusedError, match=message):
        quarantine_of(fabric).set_aside(LANE, SequenceNumber(sequence), by="ana", reason="")
    assert fabric.table.items == before


def test_it_is_refused_where_the_lane_is_not_written() -> None:
    fabric = fabric_with(3)
    put(fabric, forged(fabric, FAR))
    fabric.cloud.replicate()
    with pytest.raises(QuarantineRefusedError, match=HOME):
        quarantine_of(fabric.in_region(AWAY)).set_aside(LANE, FAR, by="ana", reason="")


@pytest.mark.parametrize("attributes", [1, 2, 20_000])
def test_an_item_as_large_as_an_item_may_be_is_set_aside_without_what_does_not_fit(attributes: int) -> None:
    fabric = fabric_with(1)
    junk = {"pk": {"S": str(LANE)}, "sk": {"N": "1"}}
    room = limits.ITEM_BYTES_MAX - item_bytes(junk)
    for number in range(attributes):
        junk[f"x{number:05d}"] = {"S": "x" * (room // attributes - 6)}
    junk["x00000"]["S"] += "x" * (limits.ITEM_BYTES_MAX - item_bytes(junk))
    fabric.table.write("Put", {"Item": junk})
    quarantine_of(fabric).set_aside(LANE, SequenceNumber(1), by="ana", reason="junk")
    (intervention,) = fabric.log.interventions(LANE)
    assert re.search("junk; .*attribute 'x", intervention.reason)
    assert fabric.appender().append(LANE, mine()).sequence == 1
    (aside,) = [item for item in fabric.table.items if "qb" in item]
    assert item_bytes(aside) <= limits.ITEM_BYTES_MAX
    assert (len(aside) > len(("pk", "sk", "qb", "qw", "qt"))) == (attributes > 1)
