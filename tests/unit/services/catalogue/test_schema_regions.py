"""Schemas of a stream whose Regions change: what was registered stays registered, whichever Region does it now."""

import pytest

from eventfabric.errors import SchemaRefusedError, UndecodableRecordError
from eventfabric.model import (
    EMPTY_TAIL,
    DeclarationLane,
    Intervention,
    Region,
    SequenceNumber,
    StreamName,
    record_at,
)
from eventfabric.services.catalogue.lane import newest
from eventfabric.services.catalogue.regions import known_regions
from eventfabric.services.catalogue.schema_lane import SchemaReader
from tests.support.later_declarations import append_content
from tests.support.memory_fabric import AWAY, FAR, HOME, STREAM, MemoryFabric, batch_of, event
from tests.support.schema_registry import (
    FIRST,
    SECOND,
    THIRD,
    in_regions,
    index,
    nothing_fits,
    registration,
)
from tests.support.subscribed_stream import SubscribedStream

OF_AWAY = DeclarationLane.of(AWAY, StreamName(STREAM))


@pytest.fixture
def fabric() -> MemoryFabric:
    return SubscribedStream()


def test_what_has_left_the_stream_with_its_region_is_still_registered(fabric: MemoryFabric) -> None:
    fabric.declare()
    registration(fabric).register({"A": FIRST})
    fabric.cloud.replicate()
    left = in_regions(fabric.topology, AWAY)
    fabric.declare(region=AWAY)
    assert [version.number for version in index(fabric, AWAY, left).versions("A")] == [1]
    fabric.declare(left, region=AWAY)
    assert [version.number for version in index(fabric, AWAY, left).versions("A")] == [1]
    assert registration(fabric, region=AWAY, topology=left).register({"A": SECOND})["A"].number == 2
    strict = registration(fabric, region=AWAY, topology=left, compare=nothing_fits)
    with pytest.raises(SchemaRefusedError):
        strict.register({"A": THIRD})


def test_another_first_region_goes_on_from_what_the_former_has_registered(fabric: MemoryFabric) -> None:
    registration(fabric).register({"A": FIRST})
    fabric.cloud.replicate()
    moved = in_regions(fabric.topology, AWAY, HOME)
    reader = registration(fabric, region=AWAY, topology=moved).reader
    added = registration(fabric, region=AWAY, topology=moved).register({"A": SECOND})
    assert (added["A"].number, added["A"].region) == (2, AWAY)
    first, second = reader.index().versions("A")
    assert (first.region, second.region) == (HOME, AWAY)
    assert [reader.document("A", version) for version in (first, second)] == [FIRST, SECOND]
    # Whoever still goes by the former order of the Regions sees it, too.
    assert index(fabric, AWAY) == reader.index()


@pytest.mark.parametrize("is_spoilt", [False, True])
def test_any_regions_declaration_says_which_regions_have_left(fabric: MemoryFabric, is_spoilt: bool) -> None:
    registration(fabric).register({"A": FIRST})
    fabric.declare(region=AWAY)
    fabric.cloud.replicate()
    if is_spoilt:
        of_first = DeclarationLane.of(FAR, StreamName(STREAM))
        foreign = record_at(
            EMPTY_TAIL, of_first, batch_of([event("e")], bytes(16)), now_ms=1, retention_seconds=None
        )
        assert fabric.cloud.log(STREAM, AWAY).append(foreign) is None
    moved = in_regions(fabric.topology, FAR, AWAY)
    assert [version.number for version in index(fabric, AWAY, moved).versions("A")] == [1]


@pytest.fixture
def moving() -> MemoryFabric:
    """Return a stream of three Regions, of which the first two have been left: home has registered two versions."""
    fabric = MemoryFabric(in_regions(SubscribedStream().topology, HOME, AWAY, FAR))
    alone, both, other = (
        in_regions(fabric.topology, *regions) for regions in ((HOME,), (HOME, AWAY), (AWAY,))
    )
    fabric.declare(alone, region=HOME)
    for document in (FIRST, SECOND):
        registration(fabric, topology=alone).register({"A": document})
    fabric.cloud.replicate()
    for region in (HOME, AWAY):
        fabric.declare(both, region=region)
    fabric.cloud.replicate()
    fabric.declare(other, region=AWAY)
    fabric.cloud.replicate()
    return fabric


def spoil(fabric: MemoryFabric, region: Region) -> SequenceNumber:
    """Append what is no declaration to a Region's lane, in AWAY. Return where it stands."""
    log, lane = fabric.cloud.log(STREAM, AWAY), DeclarationLane.of(region, StreamName(STREAM))
    place = log.tail(lane).sequence
    append_content(log, lane, fabric.clock, lambda content: b"{}")
    return place


def numbers(fabric: MemoryFabric, *regions: Region, seen_in: Region = AWAY) -> list[int]:
    known = index(fabric, seen_in, in_regions(fabric.topology, *regions))
    return [version.number for version in known.versions("A")]


def test_a_region_that_joins_as_the_first_goes_on_where_a_former_one_was(moving: MemoryFabric) -> None:
    joined = in_regions(moving.topology, FAR, AWAY)
    for _ in range(2):  # by what others declare of former Regions, and then by what it has declared itself
        assert numbers(moving, FAR, AWAY, seen_in=FAR) == [1, 2]
        strict = registration(moving, region=FAR, topology=joined, compare=nothing_fits)
        assert strict.register({"A": SECOND}) == {}
        with pytest.raises(SchemaRefusedError):
            strict.register({"A": THIRD})
        moving.declare(joined, region=FAR)
        moving.cloud.replicate()
    assert numbers(moving, FAR) == [1, 2]


def test_a_region_that_joins_declares_the_former_ones_and_forgets_none_later(moving: MemoryFabric) -> None:
    log, lane = moving.cloud.log(STREAM, FAR), DeclarationLane.of(FAR, StreamName(STREAM))
    for regions in ((FAR, AWAY), (FAR, AWAY), (FAR,)):
        moving.declare(in_regions(moving.topology, *regions), region=FAR)
        declared = newest(log, lane)
        assert declared is not None
        assert set(declared.declaration.stream.former_regions) == {HOME, AWAY, FAR} - set(regions)


def test_a_function_with_a_definition_of_before_sees_what_a_region_registers_that_joined_since(
    moving: MemoryFabric,
) -> None:
    joined = in_regions(moving.topology, FAR, AWAY)
    moving.declare(joined, region=AWAY)
    registration(moving, region=FAR, topology=joined).register({"A": THIRD})
    moving.cloud.replicate()
    assert numbers(moving, HOME, AWAY) == numbers(moving, FAR, AWAY) == [1, 2, 3]


def test_regions_are_found_by_way_of_others_though_a_region_that_joined_had_not_heard_of_them(
    moving: MemoryFabric,
) -> None:
    fabric = MemoryFabric(moving.topology)  # as it was before anything was replicated to it
    joined = in_regions(fabric.topology, FAR, AWAY)
    fabric.declare(joined, region=FAR)
    stream = in_regions(fabric.topology, FAR).stream(STREAM)
    assert known_regions(fabric.cloud.log(STREAM, FAR), stream).regions == (FAR, AWAY)
    for record in moving.cloud.log(STREAM, AWAY).recent(OF_AWAY, records_max=9).records[::-1]:
        assert fabric.cloud.log(STREAM, FAR).append(record) is None
    known = known_regions(fabric.cloud.log(STREAM, FAR), stream)
    assert (known.regions, known.doubt) == ((FAR, AWAY, HOME), None)


def test_while_a_declaration_cannot_be_read_the_one_before_counts_and_nothing_is_registered(
    moving: MemoryFabric,
) -> None:
    left = in_regions(moving.topology, AWAY)
    place = spoil(moving, AWAY)
    assert numbers(moving, AWAY) == [1, 2]
    own = registration(moving, region=AWAY, topology=left)
    for attempt in (own.check, own.register):
        with pytest.raises(UndecodableRecordError, match=r"docs/runbook\.md"):
            attempt({"A": THIRD})
    log = moving.cloud.log(STREAM, AWAY)
    log.set_aside(Intervention(OF_AWAY, place, by="ana", reason="mended", at_ms=0))
    assert own.register({"A": THIRD})["A"].number == 3


def test_any_declaration_may_be_unreadable_and_the_search_goes_on(moving: MemoryFabric) -> None:
    log = moving.cloud.log(STREAM, AWAY)
    spoil(moving, HOME)
    reader = SchemaReader(in_regions(moving.topology, HOME, AWAY).stream(STREAM), log)
    assert [version.number for version in reader.index().versions("A")] == [1, 2]
    # A Region that has left cannot be mended by its own stacks any more, and keeps nobody from registering.
    left = in_regions(moving.topology, AWAY)
    assert registration(moving, region=AWAY, topology=left).register({"A": THIRD})["A"].number == 3


def test_a_first_region_that_has_only_an_unreadable_declaration_ends_no_search(moving: MemoryFabric) -> None:
    log, lane = moving.cloud.log(STREAM, AWAY), DeclarationLane.of(FAR, StreamName(STREAM))
    moving.declare(in_regions(moving.topology, FAR, AWAY), region=FAR)
    moving.cloud.replicate()
    spoil(moving, FAR)
    log.set_aside(Intervention(lane, SequenceNumber(0), by="ana", reason="", at_ms=0))
    assert numbers(moving, FAR, AWAY) == [1, 2]
    known = known_regions(log, in_regions(moving.topology, FAR, AWAY).stream(STREAM))
    assert known.regions == (FAR, AWAY, HOME)
    assert known.doubt is not None
