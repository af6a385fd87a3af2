"""Removal of a type: what keeps it, by what was seen of it, and how far each subscription is with that."""

from eventfabric.model import Event
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.services.operations.observation import Extent, Observation
from eventfabric.services.operations.removal import Obstacle, TypeReader, obstacles, reader_of
from tests.support.failing_handlers import FEW, Failing
from tests.support.memory_fabric import lane
from tests.support.subscribed_stream import SubscribedStream

DAY = 86_400


def event(name: str, *, type: str = "Placed", source: str = "/shop") -> Event:
    data = {"name": name}
    return Event(id=name, type=type, key=name[0], source=source, data=data, time="2026-11-01T00:00:00Z")


def observed(fabric: SubscribedStream, **extent: int) -> Observation:
    def unreadable(error: Exception) -> None:
        raise error

    observation = Observation(fabric.log, lanes_of(fabric.stream), Extent(**extent), unreadable)
    for steps in (observation.look(), observation.read()):
        for _ in steps:
            pass
    return observation


def reader(fabric: SubscribedStream, type: str = "Placed") -> TypeReader:
    return reader_of(fabric.subscription, type, observed(fabric), ledger=fabric.ledger, clock=fabric.clock)


def reasons(
    fabric: SubscribedStream, *readers: TypeReader, unread: int = 0, **extent: int
) -> list[tuple[Obstacle, str, int]]:
    keeping = obstacles(
        "Placed", observed(fabric, **extent), readers, now_ms=fabric.clock.now_ms(), unread=unread
    )
    return [(own.kind, own.about, own.count) for own in keeping]


def test_a_cursor_says_what_was_handled_and_what_waits() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"), event("b", type="Paid"))
    first_ms = fabric.clock.now_ms()
    fabric.deliver()
    fabric.clock.advance(DAY)
    fabric.put(event("c"), event("d"))
    own = reader(fabric)
    assert (own.subscription, own.asks_by_name) == ("billing", False)
    assert (own.handled_ms, own.waiting, own.parked) == (first_ms, 2, 0)
    fabric.deliver()
    assert (reader(fabric).waiting, reader(fabric).handled_ms) == (0, fabric.clock.now_ms())
    assert (reader(fabric, "Paid").handled_ms, reader(fabric, "None").handled_ms) == (first_ms, 0)


def test_lanes_of_another_region_count_by_the_cursor_of_who_delivers_them() -> None:
    fabric = SubscribedStream(deliver="one")
    fabric.put(event("a"), of=lane(1))
    assert reader(fabric).waiting == 1
    fabric.deliver(lane(1))
    assert reader(fabric).waiting == 0


def test_a_parked_key_keeps_the_types_that_wait_in_it() -> None:
    fabric = SubscribedStream(**FEW)
    fabric.recorder.before = Failing({"a1": 99})
    fabric.put(event("a1", type="Paid"), event("a2"), event("b1"))
    fabric.deliver()
    assert (reader(fabric).parked, reader(fabric).waiting) == (1, 0)
    assert reader(fabric, "Paid").parked == 1
    assert reader(fabric, "Other").parked == 0


def test_a_subscription_that_lists_the_type_asks_for_it_by_name() -> None:
    assert reader(SubscribedStream(types=["Placed", "Paid"])).asks_by_name
    assert not reader(SubscribedStream()).asks_by_name


def test_a_type_is_kept_by_whoever_published_it_lately() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"), event("b", source="/till"), event("c", type="Paid"))
    assert reasons(fabric) == [(Obstacle.PUBLISHED, "/shop, /till", 2)]
    fabric.clock.advance(31 * DAY)
    assert reasons(fabric) == []


def test_a_type_is_kept_by_subscriptions_that_are_not_done_with_it() -> None:
    fabric = SubscribedStream()
    done = TypeReader(subscription="audit", asks_by_name=False, handled_ms=1)
    busy = TypeReader(subscription="billing", asks_by_name=True, waiting=3, parked=2)
    assert reasons(fabric, done, busy) == [
        (Obstacle.WAITING, "billing", 3),
        (Obstacle.PARKED, "billing", 2),
        (Obstacle.ASKED_FOR, "billing", 0),
    ]


def test_a_type_is_kept_while_too_little_was_read_to_know() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"))
    fabric.clock.advance(20 * DAY)
    for name in "bcd":
        fabric.put(event(name, type="Paid"))
    [(kind, about, _)] = reasons(fabric, records_max=2)
    assert (kind, about.startswith("2026-")) == (Obstacle.UNSEEN, True)
    fabric.clock.advance(31 * DAY)
    assert reasons(fabric, records_max=2) == []  # what was read reaches further back than the days that count


def test_a_type_is_kept_while_a_part_of_the_log_cannot_be_read() -> None:
    assert reasons(SubscribedStream(), unread=2) == [(Obstacle.UNREAD, "", 2)]


def test_every_reason_is_a_sentence() -> None:
    for kind in Obstacle:
        assert kind.value.format(about="billing", count=3)
