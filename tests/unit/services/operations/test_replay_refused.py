"""Exact messages of replays that are refused, with the facts that decided it. Nothing is changed then."""

from collections.abc import Callable

import pytest

from eventfabric import limits
from eventfabric.errors import EventFabricError, ReplayRefusedError, SettingError
from eventfabric.model.identity import Lane
from eventfabric.model.start import AtTime, Start
from eventfabric.wire.keys import record_key
from tests.support.failing_handlers import FEW, Failing, drained, named, world_of
from tests.support.memory_fabric import AWAY, HOME, LANE, World, event, lane
from tests.support.replays import at, replay, replay_of
from tests.unit.services.delivery.test_takeover import hand_over
from tests.unit.services.operations.test_replay import delivered
from tests.unit.services.operations.test_replay_into import audit
from tests.unit.services.operations.test_replay_key import A, B, C


def said(error: type[EventFabricError], ask: Callable[[], object]) -> str:
    """Return the message with which this is refused."""
    with pytest.raises(error) as raised:
        ask()
    assert raised.value.no_effect
    return str(raised.value)


def refused(world: World, start: Start | int, *, key: str | None = None, lane: Lane | None = None) -> str:
    """Return the message that refuses a replay, which leaves cursor, parked keys and queue as they were."""
    before = world.cursor(), world.parked(), world.queue.bodies
    text = said(ReplayRefusedError, lambda: replay(world, start, key=key, lane=lane))
    assert (world.cursor(), world.parked(), world.queue.bodies) == before
    return text


def parked(*names: str, **settings: object) -> World:
    """A world where these are dead, each the first of its key, behind one that is handled."""
    world = world_of(Failing(dict.fromkeys(names, 99)), *named("z1", *names), **{**FEW, **settings})
    return drained(world)


def test_whom_it_can_be_fed_from() -> None:
    world = delivered(1)
    assert said(ReplayRefusedError, lambda: replay_of(world, into=world.subscription)) == (
        "billing cannot be fed from itself: leave --into out to replay it"
    )
    assert said(ReplayRefusedError, lambda: replay_of(world, into=audit(world, stream="invoices"))) == (
        "audit is of stream invoices, billing of orders: allowed: subscriptions of one stream"
    )
    assert said(ReplayRefusedError, lambda: replay_of(world, into=audit(world, replay=False))) == (
        "audit has replay = false in the definition"
    )
    assert (
        said(ReplayRefusedError, lambda: replay_of(world, into=audit(world)).plan(at(0), key="a"))
        == "--key goes without --into: a key is replayed where it was delivered"
    )


@pytest.mark.parametrize(("sizes", "where"), [((2,), ": lane us-east-1/0.0 is at 2"), ((), "")])
def test_where_it_is_to_begin(sizes: tuple[int, ...], where: str) -> None:
    world = delivered(*sizes) if sizes else World()
    assert said(ReplayRefusedError, lambda: replay_of(world).plan(None)) == (
        f"say --from where: billing has delivered events{where}"
    )


def test_a_time_may_be_now_and_no_later() -> None:
    world = delivered(1)
    now = AtTime(world.clock.now_ms())
    assert not any(done.plan.changes_anything for done in replay(world, now))
    assert refused(world, AtTime(now.ms + 1)) == f"{AtTime(now.ms + 1)} is in the future: it is {now} now"


def test_which_lanes_there_are_and_are_delivered_here() -> None:
    world = delivered(1)
    assert said(SettingError, lambda: replay(world, 0, lane=lane(2))) == (
        "lane: found 'us-east-1/0.2', allowed: us-east-1/0.0 to eu-west-1/0.1"
    )
    assert refused(world, 0, lane=lane(0, AWAY)) == (
        "lane eu-west-1/0.0 of billing is not delivered by us-east-1"
    )
    elsewhere = World(deliver="one", region=AWAY)
    assert refused(elsewhere, 0) == f"{HOME} delivers no lane of billing"


def test_a_sequence_may_be_the_end_of_the_furthest_lane_and_no_more() -> None:
    world = delivered(3)
    world.put(event("x"), of=lane(1))
    world.deliver(lane(1))
    assert not any(done.plan.changes_anything for done in replay(world, 3))
    assert refused(world, 4) == (
        "sequence 4 is beyond the tail: lane us-east-1/0.0 ends at 3, no other further on"
    )
    assert refused(world, 4, lane=LANE) == "sequence 4 is beyond the tail: lane us-east-1/0.0 ends at 3"
    assert refused(world, 2, lane=lane(1)) == "sequence 2 is beyond the tail: lane us-east-1/0.1 ends at 1"


def test_of_which_key_there_is_nothing() -> None:
    world = delivered(3)
    assert refused(world, 2, key=A) == (
        f"key '{A}' has no delivered events from sequence 2 on: looked at lane us-east-1/0.0 up to 3"
    )
    assert refused(world, 0, key=B, lane=LANE) == (
        f"the events of key '{B}' are in lanes 0.1, not in us-east-1/0.0"
    )


def test_of_lanes_of_two_origins_each_is_named_where_a_key_has_nothing() -> None:
    world = World(deliver="everywhere")
    world.put(event("c", key=C))
    world.put(event("c", key=C), of=lane(0, AWAY))
    assert refused(world, 0, key=A) == (
        f"key '{A}' has no delivered events from sequence 0 on: looked at "
        "lane us-east-1/0.0 up to 0, lane eu-west-1/0.0 up to 0"
    )


def test_a_key_that_is_parked() -> None:
    world = drained(world_of(Failing({"1": 99}), *(event(f"{n}", key=A) for n in range(3)), **FEW))
    assert refused(world, 0, key=A) == (
        f"key '{A}' is parked in lane us-east-1/0.0 (dead, from sequence 1): redrive or discard it first"
    )


@pytest.mark.parametrize("most", [2, 1])
def test_as_many_keys_as_a_lane_may_park(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    world = parked("c1")
    world.put(event("a1", key=A))
    world.deliver()
    monkeypatch.setattr(limits, "PARKED_KEYS_MAX", most)
    if most == 2:
        replay(world, 0, key=A)
        assert set(world.parked()) == {"c", A}
    else:
        assert refused(world, 0, key=A) == "lane us-east-1/0.0 has 1 parked keys, and room for no more"


@pytest.mark.parametrize("most", [3, 2])
def test_as_many_parked_keys_as_one_commit_takes(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    world = parked("b1", "c1")
    monkeypatch.setattr(limits, "TRANSACTION_ACTIONS_MAX", most)
    if most == 3:
        replay(world, 1)
        assert world.parked() == {}
    else:
        assert refused(world, 1) == (
            "2 parked keys of lane us-east-1/0.0 hold events from sequence 1 on, and one commit takes 1: "
            "redrive or discard some first, or replay less"
        )


def test_without_order_as_many_events_of_a_key_as_one_commit_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(order="none")
    for number in range(3):
        world.put(event(f"{number}", key=A))
    world.deliver()
    monkeypatch.setattr(limits, "TRANSACTION_ACTIONS_MAX", 3)
    assert refused(world, 0, key=A) == (
        "3 parked keys of lane us-east-1/0.0 would have to be made, an event each, and one commit takes 2: "
        "redrive or discard some first, or replay less"
    )


def test_a_quorum_stream_moves_no_parked_keys_and_makes_them_all_the_same() -> None:
    world = parked("a1", durability="quorum")
    world.put(event("c1", key=C))
    world.deliver()
    assert refused(world, 0) == (
        "1 parked keys of lane us-east-1/0.0 hold events from sequence 0 on, and a quorum stream has no "
        "transactions to move them: redrive or discard them first, or replay from later on"
    )
    replay(world, 2, key=C)
    assert set(world.parked()) == {"a", C}


def test_a_lane_that_was_handed_over_to_this_region_and_not_taken_over_yet() -> None:
    world = delivered(2)
    hand_over(world)
    assert refused(world, 0) == (
        "lane us-east-1/0.0 was handed over to us-east-1, which has not taken it over yet: deliver first "
        "(eventfabric subscriptions resume where it is paused, else eventfabric lanes --ring)"
    )
    world.put(event("next"))
    world.deliver()
    replay(world, 0)
    assert (world.cursor().sequence, world.cursor().epoch) == (0, 1)


def test_a_record_that_is_not_here() -> None:
    world = delivered(1, 1, 1)
    world.table.write("Delete", {"Key": record_key(LANE, 1)})
    assert refused(world, 0, key="k2") == "the record at sequence 1 of lane us-east-1/0.0 is not here"


def test_records_that_may_still_come() -> None:
    """A stream with a retention, in a Region that has the second record of a lane and not the first."""
    world = World(delivered_in=AWAY, retention_days=1, deliver="everywhere")
    source = audit(world)
    for name in ("0", "1"):
        world.put(event(name))
        world.clock.advance(1)
    world.cloud.replicate()
    world.table.write("Delete", {"Key": record_key(LANE, 0)})
    one = replay_of(world, into=source)
    one._log = world.log
    one._ledger = world.ledger
    assert said(ReplayRefusedError, lambda: one.plan(at(0), lane=LANE)) == (
        "the records of lane us-east-1/0.0 have not all come yet: try again later"
    )
