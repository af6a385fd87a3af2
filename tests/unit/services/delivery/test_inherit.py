"""With what a new owner goes on where its replica lacks some of the former owner's parked keys, or of their records."""

import pytest

from eventfabric import limits
from eventfabric.model import ParkedState
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.delivery.retry import EXPIRED
from eventfabric.wire.keys import Item, is_parked, ledger_region_and_kind, record_key
from tests.support.expiry import DAY_SECONDS, expire, reconciled
from tests.support.failing_handlers import FEW, Failing, breaker, drained, fabric_of, named, retry
from tests.support.handovers import hand_over, without_parked
from tests.support.memory_fabric import AWAY, LANE, event
from tests.support.recording_handler import Recorder
from tests.support.replays import replay
from tests.support.subscribed_stream import SubscribedStream, topology
from tests.unit.services.delivery.test_takeover import letters_of

DEAD_AT_ONCE = retry(immediate=0, attempts=1)


def replicated_keys(fabric: SubscribedStream) -> list[Item]:
    """The parked keys as AWAY has them."""
    table = fabric.cloud.regions[AWAY].table(fabric.topology.ledger.name)
    return [item for item in table.items if is_parked(ledger_region_and_kind(item)[1])]


def put_back(fabric: SubscribedStream, items: list[Item]) -> None:
    """Have AWAY's replica show these parked keys as they were, whatever came since."""
    without_parked(fabric)
    table = fabric.cloud.regions[AWAY].table(fabric.topology.ledger.name)
    for item in items:
        table.write("Put", {"Item": item})


def taken_over(fabric: SubscribedStream) -> SubscribedStream:
    away = fabric.in_region(AWAY)
    hand_over(away)
    away.deliver()
    return away


def with_an_old_dead_letter() -> SubscribedStream:
    """a1 is dead, and its record expired; b11 to b17 came since and were handled."""
    fabric = fabric_of(Failing({"a1": 99}), *named("a1", "b1"), retention_days=2, **DEAD_AT_ONCE)
    fabric.deliver()
    for half_days in range(8):
        fabric.clock.advance(DAY_SECONDS / 2)
        if half_days % 2:
            fabric.put(event(f"b{half_days + 10}", key="b"))
            fabric.deliver()
        fabric.cloud.replicate()
        reconciled(fabric)
        expire(fabric)
    assert 0 not in [record.sequence for record in fabric.records()]
    return fabric


def test_a_key_that_is_here_as_it_was_before_another_event_came_to_wait_in_it_has_that_event_too() -> None:
    fabric = fabric_of(Failing({"a1": 9}), *named("a1", "b1"), **FEW)
    fabric.deliver()
    fabric.cloud.replicate()
    before = replicated_keys(fabric)
    fabric.put(*named("a2", "b2", "a3"))
    fabric.deliver()
    fabric.cloud.replicate()
    put_back(fabric, before)
    away = taken_over(fabric)
    drained(away)
    assert away.recorder.ids() == ["a1", "a2", "a3"]
    assert away.parked() == {}


def test_a_dead_letter_older_than_the_retention_stops_nothing_though_its_key_is_here_as_it_was() -> None:
    fabric = with_an_old_dead_letter()
    before = replicated_keys(fabric)
    fabric.put(event("a2", key="a"))
    fabric.deliver()
    fabric.cloud.replicate()
    put_back(fabric, before)
    away = taken_over(fabric)
    assert away.cursor().epoch == 1
    fabric.put(*named("c1"))
    fabric.cloud.replicate()
    assert away.deliver().outcome is LaneOutcome.DELIVERED
    assert away.recorder.ids() == ["c1"]
    assert away.parked()["a"].state is ParkedState.DEAD
    discard_all(away)
    assert away.recorder.ids() == ["c1", "a2"]


def discard_all(fabric: SubscribedStream) -> int:
    """Discard each dead letter whose event is gone, until none is left; returns how many there were."""
    count = 0
    while letters := list(letters_of(fabric).find()):
        letters_of(fabric).discard(letters[0])
        fabric.deliver_all()
        count += 1
    return count


def test_a_key_that_is_not_here_is_found_in_the_log_and_what_was_handled_is_not_repeated() -> None:
    fabric = fabric_of(Failing({"a1": 9}), *named("b1", "a1", "b2", "a2"), **FEW)
    fabric.put(*named("b3", "a3"))
    fabric.deliver()
    fabric.cloud.replicate()
    without_parked(fabric)
    away = taken_over(fabric)
    assert away.recorder.ids() == ["a1", "a2", "a3"]
    assert away.cursor().sequence == 6


def test_a_key_that_is_here_stays_as_it_is_beside_one_that_has_to_be_found() -> None:
    fabric = fabric_of(Failing({"a1": 99, "c1": 9}), *named("a1", "b1", "c1", "c2"), **DEAD_AT_ONCE)
    fabric.deliver()
    fabric.cloud.replicate()
    put_back(fabric, [item for item in replicated_keys(fabric) if item["k"] == {"S": "a"}])
    away = fabric.in_region(AWAY)
    away.handler = away.recorder
    hand_over(away)
    away.deliver()
    assert away.recorder.ids() == ["c1", "c2"]
    assert {key: parked.state for key, parked in away.parked().items()} == {"a": ParkedState.DEAD}


def test_a_key_that_was_freed_is_not_taken_up_again_because_another_one_is_missing() -> None:
    failing = Failing({"a1": 1, "c1": 9})
    fabric = fabric_of(failing, *named("a1", "b1"), **FEW)
    fabric.deliver()
    fabric.cloud.replicate()
    stale = replicated_keys(fabric)
    fabric.clock.advance(10)
    fabric.put(*named("c1"))
    fabric.deliver()
    assert set(fabric.parked()) == {"c"}
    fabric.cloud.replicate()
    put_back(fabric, stale)
    away = taken_over(fabric)
    assert away.recorder.ids() == ["c1"]


def test_where_order_is_not_kept_each_event_is_found_by_itself() -> None:
    fabric = fabric_of(Failing({"a1": 9, "a3": 9}), *named("a1", "a2", "a3"), order="none", **FEW)
    fabric.deliver()
    fabric.cloud.replicate()
    without_parked(fabric)
    assert sorted(taken_over(fabric).recorder.ids()) == ["a1", "a3"]


@pytest.mark.parametrize(("before", "after"), [("none", "key"), ("key", "none")])
@pytest.mark.parametrize("attempts", [1, 9])
def test_what_was_parked_under_another_order_is_found_all_the_same(
    before: str, after: str, attempts: int
) -> None:
    """Retrying or dead, by its key or alone: what its subscription was when it was parked."""
    settings = {**retry(immediate=0, attempts=attempts), **breaker(parked_keys=100)}
    fabric = fabric_of(Failing({"a1": 9}), *named("a1", "b1"), order=before, **settings)
    fabric.deliver()
    assert len(fabric.parked()) == 1
    fabric.cloud.replicate()
    without_parked(fabric)
    fabric.topology = topology(order=after, **settings)
    assert taken_over(fabric).recorder.ids() == ["a1"]


OFTEN = {**retry(immediate=0, attempts=9), **breaker(parked_keys=100)}


def replicated_but(fabric: SubscribedStream, *keys: str) -> None:
    """Replicate all but these parked keys."""
    fabric.cloud.replicate()
    kept = [item for item in replicated_keys(fabric) if item["k"]["S"] not in keys]
    put_back(fabric, kept)


def test_a_key_that_is_here_as_it_was_before_has_what_came_to_wait_in_it_though_no_order_is_kept_now() -> (
    None
):
    fabric = fabric_of(Failing({"a1": 9}), *named("a1", "b1"), order="key", **OFTEN)
    fabric.deliver()
    fabric.cloud.replicate()
    before = replicated_keys(fabric)
    fabric.put(*named("a2", "b2"))
    fabric.deliver()
    fabric.cloud.replicate()
    put_back(fabric, before)
    fabric.topology = topology(order="none", **OFTEN)
    assert drained(taken_over(fabric)).recorder.ids() == ["a1", "a2"]


def test_a_key_of_a_type_that_is_wanted_no_more_is_found_and_takes_no_dead_letter_with_it() -> None:
    fabric = fabric_of(Failing({"d1": 99, "q1": 99}), **DEAD_AT_ONCE, **breaker(parked_keys=100))
    fabric.put(event("d1", key="d", type="gone"), event("q1", key="q", type="gone"), event("b1", key="b"))
    fabric.deliver()
    replicated_but(fabric, "q")
    fabric.topology = topology(types=["placed"], **DEAD_AT_ONCE, **breaker(parked_keys=100))
    away = taken_over(fabric)
    assert away.recorder.ids() == ["q1"]
    assert [letter.parked.key for letter in letters_of(away).find()] == ["d"]


@pytest.mark.parametrize("missing", [("b",), ("a", "b")])
def test_events_of_one_key_that_were_parked_alone_come_once_where_its_order_is_kept_now(
    missing: tuple[str, ...],
) -> None:
    names = [*(f"a{number}" for number in range(1, 7)), "b1"]
    failing = Failing({**{f"a{number}": 9 for number in range(1, 5)}, "b1": 9})
    fabric = fabric_of(failing, *named(*names), order="none", **OFTEN)
    fabric.deliver()
    replicated_but(fabric, *missing)
    fabric.topology = topology(order="key", **OFTEN)
    assert drained(taken_over(fabric)).recorder.ids() == names


def test_where_too_much_would_have_to_be_looked_through_only_what_was_not_is_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "TAKEOVER_RECORDS_MAX", 2)
    monkeypatch.setattr(limits, "PAGE_RECORDS_MAX", 1)
    fabric = fabric_of(Failing({"a1": 9, "c1": 9}), **FEW)
    for name in ("a1", "b1", "b2", "c1"):
        fabric.put(event(name, key=name[0]))
    fabric.deliver()
    fabric.cloud.replicate()
    without_parked(fabric)
    away = taken_over(fabric)
    away.relay_all()
    away.deliver_all()
    assert sorted(away.recorder.ids()) == ["a1", "b2", "c1"]


def test_a_takeover_does_not_wait_for_a_record_that_expired_before_the_first_that_waits() -> None:
    fabric = SubscribedStream(retention_days=4, handler=Recorder(before=Failing({"a1": 99})), **DEAD_AT_ONCE)
    fabric.put(event("c1", key="c"))
    fabric.clock.advance(2 * DAY_SECONDS)
    fabric.put(event("a1", key="a"))
    fabric.put(event("b1", key="b"))
    fabric.deliver()
    fabric.cloud.replicate()
    fabric.clock.advance(2.5 * DAY_SECONDS)
    assert expire(fabric) == 1
    fabric.put(event("n1", key="n"))
    fabric.cloud.replicate()
    without_parked(fabric)
    away = taken_over(fabric)
    drained(away)
    assert sorted(away.recorder.ids()) == ["a1", "n1"]


@pytest.mark.parametrize("on_expired", ["halt", "skip"])
def test_a_key_that_is_neither_here_nor_in_the_log_any_more_is_a_dead_letter_and_stops_nobody(
    on_expired: str,
) -> None:
    fabric = fabric_of(
        Failing({"a1": 99}), *named("a1", "b1"), retention_days=2, on_expired=on_expired, **DEAD_AT_ONCE
    )
    fabric.deliver()
    fabric.put(event("b2", key="b"))
    fabric.deliver()
    fabric.clock.advance(1.5 * DAY_SECONDS)
    fabric.put(event("b3", key="b"))
    fabric.deliver()
    fabric.clock.advance(1.2 * DAY_SECONDS)
    fabric.cloud.replicate()
    expire(fabric)
    without_parked(fabric)
    assert [record.sequence for record in fabric.records()] == [3]
    away = taken_over(fabric)
    fabric.put(event("b4", key="b"))
    fabric.cloud.replicate()
    assert away.deliver().outcome is LaneOutcome.DELIVERED
    assert away.recorder.ids() == ["b4"]
    (letter,) = letters_of(away).find()
    assert (letter.parked.failure.error_type, letter.parked.first.sequence) == (EXPIRED, 0)
    letters_of(away).discard(letter)
    away.deliver_all()
    assert away.parked() == {}


def test_nothing_counts_as_expired_that_may_still_come() -> None:
    fabric = fabric_of(Failing({"a1": 9}), *named("a1", "b1"), retention_days=2, **FEW)
    fabric.deliver()
    fabric.put(event("b2", key="b"))
    fabric.deliver()
    fabric.cloud.replicate()
    without_parked(fabric)
    away = fabric.in_region(AWAY)
    first = away.table.items[0]
    away.table.write("Delete", {"Key": record_key(LANE, 0)})
    hand_over(away)
    assert away.deliver().outcome is LaneOutcome.HOLE
    away.table.write("Put", {"Item": first})
    away.deliver()
    assert away.recorder.ids()[0] == "a1"


def test_an_event_that_was_never_handed_out_is_no_replay_after_a_takeover_in_the_midst_of_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for records_max in (limits.TAKEOVER_RECORDS_MAX, 0):
        monkeypatch.setattr(limits, "TAKEOVER_RECORDS_MAX", records_max)
        fabric = fabric_of(Failing({"a1": 99}), *named("c1", "a1", "b1", "c2", "b2"), **DEAD_AT_ONCE)
        fabric.deliver()
        replay(fabric, 3)
        fabric.cloud.replicate()
        without_parked(fabric)
        away = taken_over(fabric)
        drained(away)
        assert ("a1", False) in away.recorder.handled()
