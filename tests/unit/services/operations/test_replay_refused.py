"""Replays that are refused, with the facts that decided it. Nothing is changed then."""

from collections.abc import Callable

import pytest

from eventfabric import limits
from eventfabric.errors import EventFabricError, ReplayRefusedError, SettingError
from eventfabric.model.identity import Lane
from eventfabric.model.start import AtTime, Start
from eventfabric.wire.keys import record_key
from tests.support.failing_handlers import FEW, Failing, drained, named, world_of
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, LANE, event, lane
from tests.support.messages import TextWith
from tests.support.replays import at, replay, replay_of
from tests.support.subscribed_stream import SubscribedStream
from tests.unit.services.operations.test_replay import delivered
from tests.unit.services.operations.test_replay_into import audit
from tests.unit.services.operations.test_replay_key import A, B, C


def message_of(error: type[EventFabricError], ask: Callable[[], object]) -> str:
    """Return the message of the error that a call raises."""
    with pytest.raises(error) as raised:
        ask()
    assert raised.value.no_effect
    return str(raised.value)


def refused(
    world: SubscribedStream, start: Start | int, *, key: str | None = None, lane: Lane | None = None
) -> str:
    """Return the message that refuses a replay, which leaves cursor, parked keys and queue as they were."""
    before = world.cursor(), world.parked(), world.queue.bodies
    text = message_of(ReplayRefusedError, lambda: replay(world, start, key=key, lane=lane))
    assert (world.cursor(), world.parked(), world.queue.bodies) == before
    return text


def parked(*names: str, **settings: object) -> SubscribedStream:
    """Return a world where these are dead, each the first of its key, behind one that is handled."""
    world = world_of(Failing(dict.fromkeys(names, 99)), *named("z1", *names), **{**FEW, **settings})
    return drained(world)


def test_whom_it_can_be_fed_from() -> None:
    world = delivered(1)
    assert message_of(ReplayRefusedError, lambda: replay_of(world, into=world.subscription)) == TextWith(
        "billing", "itself", "--into"
    )
    assert message_of(
        ReplayRefusedError, lambda: replay_of(world, into=audit(world, stream="invoices"))
    ) == TextWith("audit is of stream invoices", "billing of orders", "one stream")
    assert message_of(
        ReplayRefusedError, lambda: replay_of(world, into=audit(world, replay=False))
    ) == TextWith("audit has replay = false")
    assert message_of(
        ReplayRefusedError, lambda: replay_of(world, into=audit(world)).plan(at(0), key="a")
    ) == TextWith("--key", "without --into")


@pytest.mark.parametrize(("sizes", "facts"), [((2,), (f"{LANE} is at 2",)), ((), ())])
def test_where_it_is_to_begin(sizes: tuple[int, ...], facts: tuple[str, ...]) -> None:
    world = delivered(*sizes) if sizes else SubscribedStream()
    assert message_of(ReplayRefusedError, lambda: replay_of(world).plan(None)) == TextWith(
        "--from", "billing", *facts
    )


def test_a_time_may_be_now_and_no_later() -> None:
    world = delivered(1)
    now = AtTime(world.clock.now_ms())
    assert not any(done.plan.changes_anything for done in replay(world, now))
    assert refused(world, AtTime(now.ms + 1)) == TextWith(
        f"{AtTime(now.ms + 1)} is in the future", f"{now} now"
    )


def test_which_lanes_there_are_and_are_delivered_here() -> None:
    world = delivered(1)
    assert message_of(SettingError, lambda: replay(world, 0, lane=lane(2))) == TextWith(
        "lane", lane(2), f"{LANE} to {lane(1, AWAY)}"
    )
    assert refused(world, 0, lane=lane(0, AWAY)) == TextWith(lane(0, AWAY), "billing", "not delivered", HOME)
    elsewhere = SubscribedStream(deliver="one", region=AWAY)
    assert refused(elsewhere, 0) == TextWith(HOME, "no lane", "billing")


def test_a_sequence_may_be_the_end_of_the_furthest_lane_and_no_more() -> None:
    world = delivered(3)
    world.put(event("x"), of=lane(1))
    world.deliver(lane(1))
    assert not any(done.plan.changes_anything for done in replay(world, 3))
    assert refused(world, 4) == TextWith("sequence 4", f"{LANE} ends at 3", "no other")
    assert refused(world, 4, lane=LANE) == TextWith("sequence 4", f"{LANE} ends at 3")
    assert refused(world, 2, lane=lane(1)) == TextWith("sequence 2", f"{lane(1)} ends at 1")


def test_of_which_key_there_is_nothing() -> None:
    world = delivered(3)
    assert refused(world, 2, key=A) == TextWith(
        f"'{A}'", "no delivered events", "sequence 2", f"{LANE} up to 3"
    )
    assert refused(world, 0, key=B, lane=LANE) == TextWith(f"'{B}'", "in lanes 0.1", f"not in {LANE}")


def test_of_lanes_of_two_origins_each_is_named_where_a_key_has_nothing() -> None:
    world = SubscribedStream(deliver="everywhere")
    world.put(event("c", key=C))
    world.put(event("c", key=C), of=lane(0, AWAY))
    assert refused(world, 0, key=A) == TextWith(
        f"'{A}'", "no delivered events", "sequence 0", f"{LANE} up to 0", f"{lane(0, AWAY)} up to 0"
    )


def test_a_key_that_is_parked() -> None:
    world = drained(world_of(Failing({"1": 99}), *(event(f"{n}", key=A) for n in range(3)), **FEW))
    assert refused(world, 0, key=A) == TextWith(f"'{A}'", LANE, "dead", "sequence 1", "redrive or discard")


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
        assert refused(world, 0, key=A) == TextWith(LANE, "1 parked keys", "no more")


@pytest.mark.parametrize("most", [3, 2])
def test_as_many_parked_keys_as_one_commit_takes(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    world = parked("b1", "c1")
    monkeypatch.setattr(limits, "TRANSACTION_ACTIONS_MAX", most)
    if most == 3:
        replay(world, 1)
        assert world.parked() == {}
    else:
        assert refused(world, 1) == TextWith(
            "2 parked keys", LANE, "sequence 1", "commit takes 1", "redrive or discard", "replay less"
        )


def test_without_order_as_many_events_of_a_key_as_one_commit_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    world = SubscribedStream(order="none")
    for number in range(3):
        world.put(event(f"{number}", key=A))
    world.deliver()
    monkeypatch.setattr(limits, "TRANSACTION_ACTIONS_MAX", 3)
    assert refused(world, 0, key=A) == TextWith(
        "3 parked keys", LANE, "commit takes 2", "redrive or discard", "replay less"
    )


def test_a_quorum_stream_moves_no_parked_keys_and_makes_them_all_the_same() -> None:
    world = parked("a1", durability="quorum")
    world.put(event("c1", key=C))
    world.deliver()
    assert refused(world, 0) == TextWith(
        "1 parked keys", LANE, "sequence 0", "quorum", "redrive or discard", "from later on"
    )
    replay(world, 2, key=C)
    assert set(world.parked()) == {"a", C}


def test_a_lane_that_was_handed_over_to_this_region_and_not_taken_over_yet() -> None:
    world = delivered(2)
    hand_over(world)
    assert refused(world, 0) == TextWith(
        LANE,
        f"handed over to {HOME}",
        "eventfabric subscriptions resume",
        "eventfabric lanes --ring",
    )
    world.put(event("next"))
    world.deliver()
    replay(world, 0)
    assert (world.cursor().sequence, world.cursor().epoch) == (0, 1)


def test_a_record_that_is_not_here() -> None:
    world = delivered(1, 1, 1)
    world.table.write("Delete", {"Key": record_key(LANE, 1)})
    assert refused(world, 0, key="k2") == TextWith("sequence 1", LANE, "not here")


def test_records_that_may_still_come() -> None:
    """A stream with a retention, in a Region that has the second record of a lane and not the first."""
    world = SubscribedStream(delivered_in=AWAY, retention_days=1, deliver="everywhere")
    source = audit(world)
    for name in ("0", "1"):
        world.put(event(name))
        world.clock.advance(1)
    world.cloud.replicate()
    world.table.write("Delete", {"Key": record_key(LANE, 0)})
    replaying = replay_of(world, into=source)
    replaying._log = world.log
    replaying._ledger = world.ledger
    assert message_of(ReplayRefusedError, lambda: replaying.plan(at(0), lane=LANE)) == TextWith(LANE, "later")
