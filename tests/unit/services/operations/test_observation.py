"""Observation: what flows through a stream, at a bounded cost; and what differs from what is declared."""

from collections.abc import Iterator
from typing import Any

import pytest

from eventfabric.errors import LogError, UndecodableItemError
from eventfabric.model import Event, Lane, Recent, SequenceNumber
from eventfabric.ports import Log
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.services.operations.observation import ENVELOPES_MAX, PLACES_MAX, Extent, Observation
from eventfabric.services.operations.observed import (
    DeclaredTypes,
    Mismatch,
    mismatches,
    occurrences_of,
    sources_of,
)
from eventfabric.wire.envelopes import Envelope
from tests.support.memory_fabric import LANE, lane
from tests.support.subscribed_stream import SubscribedStream

DIGEST = "A" * 22
DAY = 86_400


def event(name: str, *, type: str = "Placed", source: str = "/shop", schema: str = "") -> Event:
    headers = {"dataschema": schema} if schema else {}
    data = {"fill": name * 50}
    return Event(
        id=name, type=type, key="k", source=source, data=data, headers=headers, time="2026-11-01T00:00:00Z"
    )


class Watched:
    """A stream, and the reads that an observation makes of its log."""

    def __init__(self) -> None:
        self.fabric = SubscribedStream()
        self.reads: list[dict[str, Any]] = []
        self.unreadable: list[LogError | UndecodableItemError] = []

    def recent(self, lane: Lane, **options: Any) -> Recent:
        self.reads.append({"lane": lane, **options})
        return self.fabric.log.recent(lane, **options)

    def observation(self, **extent: Any) -> Observation:
        log: Log = self  # type: ignore[assignment]  # an observation asks for nothing but recent records
        return Observation(log, lanes_of(self.fabric.stream), Extent(**extent), self.unreadable.append)

    def observe(self, **extent: Any) -> Observation:
        observation = self.observation(**extent)
        for _ in observation.look():
            pass
        for _ in observation.read():
            pass
        return observation


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_types_and_sources_are_counted_with_their_first_and_last_time(watched: Watched) -> None:
    fabric = watched.fabric
    first = fabric.clock.now_ms()
    fabric.put(event("a"), event("b", type="Paid"))
    fabric.clock.advance(2 * DAY)
    fabric.put(event("c"), of=lane(1))
    fabric.put(event("d", source="/till"))
    seen = watched.observe()
    assert (seen.records, seen.events, seen.is_whole, seen.is_done) == (3, 4, True, True)
    assert seen.since_ms(now_ms=5) == 0
    placed = seen.occurrences[Envelope("Placed", "/shop")]
    assert (placed.count, placed.first_ms, placed.last_ms) == (2, first, first + 2 * DAY * 1000)
    assert seen.per_day(placed) == 1
    assert sources_of(seen, "Placed") == ("/shop", "/till")
    whole = occurrences_of(seen, "Placed")
    assert whole is not None
    assert whole.count == 3
    assert occurrences_of(seen, "Shipped") is None


def test_no_read_is_consistent_and_each_lane_is_read_twice_if_all_fits_in_a_page(watched: Watched) -> None:
    watched.fabric.put(*(event(str(number)) for number in range(20)))
    watched.fabric.put(event("b"))
    watched.observe()
    assert not any(read["consistent"] for read in watched.reads)
    assert [read["records_max"] for read in watched.reads if read["lane"] == LANE] == [1, 999]
    others = [read for read in watched.reads if read["lane"] != LANE]
    assert len(others) == len(lanes_of(watched.fabric.stream)) - 1


def test_only_the_newest_records_are_read(watched: Watched) -> None:
    for number in range(9):
        watched.fabric.put(event(str(number)))
        watched.fabric.clock.advance(1)
    seen = watched.observe(records_max=4)
    assert (seen.records, seen.is_whole, seen.is_done) == (4, False, True)
    assert seen.since_ms(now_ms=0) == watched.fabric.clock.now_ms() - 4_000
    places = [own.sequence for own in seen.places["Placed", LANE]]
    assert places == [8, 7, 6, 5]


def test_nothing_older_than_a_time_counts(watched: Watched) -> None:
    watched.fabric.put(event("old", type="Old"))
    watched.fabric.clock.advance(DAY)
    since = watched.fabric.clock.now_ms()
    watched.fabric.put(event("new", type="New"))
    seen = watched.observe(since_ms=since)
    assert [own.type for own in seen.occurrences] == ["New"]
    assert (seen.is_whole, seen.since_ms(now_ms=0)) == (False, since)


def test_the_cost_is_said_before_and_bounded(watched: Watched) -> None:
    for number in range(40):
        watched.fabric.put(*(event(f"{number}-{own}-{'x' * own}") for own in range(20)))
    seen = watched.observation()
    for _ in seen.look():
        pass
    expected = seen.read_units_to_come
    before = seen.read_units
    for _ in seen.read():
        pass
    assert before == len(lanes_of(watched.fabric.stream)) / 2
    assert 0 < seen.read_units - before <= expected + 1

    for most in (before / 2, before):
        cut = watched.observation(read_units_max=most)
        for _ in cut.look():
            pass
        assert cut.read_units_to_come == 0
        assert list(cut.read()) == []
    assert (cut.is_done, cut.is_whole, cut.records) == (False, False, 1)
    assert cut.since_ms(now_ms=7) != 7


def test_what_is_ended_early_says_what_it_has_seen(watched: Watched) -> None:
    watched.fabric.put(event("a"))
    seen = watched.observation()
    next(seen.look())
    assert (seen.events, seen.is_done, seen.is_whole, seen.since_ms(now_ms=7)) == (1, False, False, 7)


def test_a_record_that_cannot_be_read_is_named_and_left_out(watched: Watched) -> None:
    watched.fabric.put(event("a"))
    broken = watched.fabric.put(event("b"))
    watched.fabric.put(event("c"))
    table = watched.fabric.table
    key = {"pk": {"S": str(LANE)}, "sk": {"N": str(broken.sequence)}}
    item = table.get(key, consistent=True)
    assert item is not None
    table.write("Put", {"Item": {**item, "d": {"B": b"\x09"}}})
    seen = watched.observe()
    assert (seen.events, len(watched.unreadable)) == (2, 1)
    table.write("Put", {"Item": {**key, "n": {"S": "no number"}}})
    watched.unreadable.clear()
    seen = watched.observe()
    assert (seen.events, len(watched.unreadable), seen.is_whole) == (2, 1, True)


def test_memory_is_bounded_however_many_sources_there_are(watched: Watched) -> None:
    count = ENVELOPES_MAX + 3
    names = iter(range(count))
    for _ in range(count // 500 + 1):
        events = [
            event(str(number), source=f"/s{number}") for _, number in zip(range(500), names, strict=False)
        ]
        if events:
            watched.fabric.put(*events)
    seen = watched.observe()
    assert (len(seen.occurrences), seen.events_beyond, seen.events) == (ENVELOPES_MAX, 3, count)
    assert len(seen.places["Placed", LANE]) == PLACES_MAX
    assert seen.places["Placed", LANE][0].sequence == SequenceNumber(count - 1)


def declared(**about: Any) -> DeclaredTypes:
    usual: dict[str, Any] = {
        "types": {"Placed"},
        "deprecated": set(),
        "sources": {"/shop"},
        "subscriptions": {},
    }
    return DeclaredTypes(**{**usual, **about})


def kinds(seen: Observation, of: DeclaredTypes) -> Iterator[tuple[Mismatch, str]]:
    return ((own.kind, own.about) for own in mismatches(seen, of, stream="orders"))


def test_what_flows_as_declared_is_no_difference(watched: Watched) -> None:
    watched.fabric.put(event("a", schema=f"eventfabric:orders/Placed/{DIGEST}"))
    of = declared(subscriptions={"billing": {"Placed"}, "audit": None}, is_registered=lambda *_: True)
    assert list(kinds(watched.observe(), of)) == []


def test_every_difference_is_named(watched: Watched) -> None:
    other, unknown = f"eventfabric:orders/Paid/{DIGEST}", "https://example.com/schema.json"
    watched.fabric.put(
        event("a"),
        event("b", type="Paid", source="/till", schema=other),
        event("c", schema=other),
        event("d", schema=unknown),
    )
    of = declared(
        types={"Placed", "Shipped"},
        deprecated={"Placed", "Shipped"},
        subscriptions={"billing": {"Shipped"}, "letters": {"Placed", "Shipped"}, "audit": None},
        is_registered=lambda type_, digest: (type_, digest) == ("Paid", DIGEST),
    )
    seen = watched.observe()
    assert set(kinds(seen, of)) == {
        (Mismatch.UNDECLARED_TYPE, "Paid"),
        (Mismatch.UNDECLARED_SOURCE, "/till"),
        (Mismatch.SILENT_TYPE, "Shipped"),
        (Mismatch.IDLE_SUBSCRIPTION, "billing"),
        (Mismatch.DEPRECATED_TYPE, "Placed"),
        (Mismatch.UNREGISTERED_SCHEMA, f"Placed: {other}"),
        (Mismatch.UNREGISTERED_SCHEMA, f"Placed: {unknown}"),
    }
    paid = next(own for own in mismatches(seen, of, stream="orders") if own.about == "Paid")
    assert paid.sources == ("/till",)
    assert paid.occurrences is not None
    assert paid.occurrences.count == 1
    unknown_registry = declared(types={"Placed", "Paid"}, sources={"/shop", "/till"})
    assert list(kinds(seen, unknown_registry)) == []
