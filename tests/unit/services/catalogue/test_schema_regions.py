"""Schemas of a stream whose Regions change: what was registered stays registered, whichever Region does it now."""

import pytest

from eventfabric.errors import SchemaRefusedError
from eventfabric.model import EMPTY_TAIL, DeclarationLane, StreamName, record_at
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
