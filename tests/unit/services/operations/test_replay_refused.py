"""Replays that are refused, with the facts that decided it. Nothing is changed then."""

from collections.abc import Callable

import pytest

from eventfabric import limits
from eventfabric.errors import EventFabricError, ReplayRefusedError, SettingError
from eventfabric.model import AtTime, Lane, Start
from eventfabric.wire.keys import record_key
from tests.support.failing_handlers import FEW, Failing, drained, fabric_of, named
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, LANE, event, lane
from tests.support.messages import TextWith
from tests.support.replays import at_sequence, replay, replay_of
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
    fabric: SubscribedStream, start: Start | int, *, key: str | None = None, lane: Lane | None = None
) -> str:
    """Return the message that refuses a replay, which leaves cursor, parked keys and queue as they were."""
    before = fabric.cursor(), fabric.parked(), fabric.queue.bodies
    text = message_of(ReplayRefusedError, lambda: replay(fabric, start, key=key, lane=lane))
    assert (fabric.cursor(), fabric.parked(), fabric.queue.bodies) == before
    return text


def parked(*names: str, **settings: object) -> SubscribedStream:
    """Return a fabric where these are dead, each the first of its key, behind one that is handled."""
    fabric = fabric_of(Failing(dict.fromkeys(names, 99)), *named("z1", *names), **{**FEW, **settings})
    return drained(fabric)


def test_whom_it_can_be_fed_from() -> None:
    fabric = delivered(1)
    assert message_of(ReplayRefusedError, lambda: replay_of(fabric, into=fabric.subscription)) == TextWith(
        "billing", "itself", "--into"
    )
    assert message_of(
        ReplayRefusedError, lambda: replay_of(fabric, into=audit(fabric, stream="invoices"))
    ) == TextWith("audit is of stream invoices", "billing of orders", "one stream")
    assert message_of(
        ReplayRefusedError, lambda: replay_of(fabric, into=audit(fabric, replay=False))
    ) == TextWith("audit has replay = false")
    assert message_of(
        ReplayRefusedError, lambda: replay_of(fabric, into=audit(fabric)).plan(at_sequence(0), key="a")
    ) == TextWith("--key", "without --into")


@pytest.mark.parametrize(("sizes", "facts"), [((2,), (f"{LANE} is at 2",)), ((), ())])
def test_where_it_is_to_begin(sizes: tuple[int, ...], facts: tuple[str, ...]) -> None:
    fabric = delivered(*sizes) if sizes else SubscribedStream()
    assert message_of(ReplayRefusedError, lambda: replay_of(fabric).plan(None)) == TextWith(
        "--from", "billing", *facts
    )


def test_a_time_may_be_now_and_no_later() -> None:
    fabric = delivered(1)
    now = AtTime(fabric.clock.now_ms())
    assert not any(done.plan.changes_anything for done in replay(fabric, now))
    assert refused(fabric, AtTime(now.ms + 1)) == TextWith(
        f"{AtTime(now.ms + 1)} is in the future", f"{now} now"
    )


def test_which_lanes_there_are_and_are_delivered_here() -> None:
    fabric = delivered(1)
    assert message_of(SettingError, lambda: replay(fabric, 0, lane=lane(2))) == TextWith(
        "lane", lane(2), f"{LANE} to {lane(1, AWAY)}"
    )
    assert refused(fabric, 0, lane=lane(0, AWAY)) == TextWith(lane(0, AWAY), "billing", "not delivered", HOME)
    elsewhere = SubscribedStream(deliver="one", region=AWAY)
    assert refused(elsewhere, 0) == TextWith(HOME, "no lane", "billing")


def test_a_sequence_may_be_the_end_of_the_furthest_lane_and_no_more() -> None:
    fabric = delivered(3)
    fabric.put(event("x"), of=lane(1))
    fabric.deliver(lane(1))
    assert not any(done.plan.changes_anything for done in replay(fabric, 3))
    assert refused(fabric, 4) == TextWith("sequence 4", f"{LANE} ends at 3", "no other")
    assert refused(fabric, 4, lane=LANE) == TextWith("sequence 4", f"{LANE} ends at 3")
    assert refused(fabric, 2, lane=lane(1)) == TextWith("sequence 2", f"{lane(1)} ends at 1")


def test_of_which_key_there_is_nothing() -> None:
    fabric = delivered(3)
    assert refused(fabric, 2, key=A) == TextWith(
        f"'{A}'", "no delivered events", "sequence 2", f"{LANE} up to 3"
    )
    assert refused(fabric, 0, key=B, lane=LANE) == TextWith(f"'{B}'", "in lanes 0.1", f"not in {LANE}")


def test_of_lanes_of_two_origins_each_is_named_where_a_key_has_nothing() -> None:
    fabric = SubscribedStream(deliver="everywhere")
    fabric.put(event("c", key=C))
    fabric.put(event("c", key=C), of=lane(0, AWAY))
    assert refused(fabric, 0, key=A) == TextWith(
        f"'{A}'", "no delivered events", "sequence 0", f"{LANE} up to 0", f"{lane(0, AWAY)} up to 0"
    )


def test_a_key_that_is_parked() -> None:
    fabric = drained(fabric_of(Failing({"1": 99}), *(event(f"{n}", key=A) for n in range(3)), **FEW))
    assert refused(fabric, 0, key=A) == TextWith(f"'{A}'", LANE, "dead", "sequence 1", "redrive or discard")


@pytest.mark.parametrize("most", [2, 1])
def test_as_many_keys_as_a_lane_may_park(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    fabric = parked("c1")
    fabric.put(event("a1", key=A))
    fabric.deliver()
    monkeypatch.setattr(limits, "PARKED_KEYS_MAX", most)
    if most == 2:
        replay(fabric, 0, key=A)
        assert set(fabric.parked()) == {"c", A}
    else:
        assert refused(fabric, 0, key=A) == TextWith(LANE, "1 parked keys", "no more")


@pytest.mark.parametrize("most", [3, 2])
def test_as_many_parked_keys_as_one_commit_takes(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    fabric = parked("b1", "c1")
    monkeypatch.setattr(limits, "TRANSACTION_ACTIONS_MAX", most)
    if most == 3:
        replay(fabric, 1)
        assert fabric.parked() == {}
    else:
        assert refused(fabric, 1) == TextWith(
            "2 parked keys", LANE, "sequence 1", "commit takes 1", "redrive or discard", "replay less"
        )


def test_without_order_as_many_events_of_a_key_as_one_commit_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    fabric = SubscribedStream(order="none")
    for number in range(3):
        fabric.put(event(f"{number}", key=A))
    fabric.deliver()
    monkeypatch.setattr(limits, "TRANSACTION_ACTIONS_MAX", 3)
    assert refused(fabric, 0, key=A) == TextWith(
        "3 parked keys", LANE, "commit takes 2", "redrive or discard", "replay less"
    )


def test_a_quorum_stream_moves_no_parked_keys_and_makes_them_all_the_same() -> None:
    fabric = parked("a1", durability="quorum")
    fabric.put(event("c1", key=C))
    fabric.deliver()
    assert refused(fabric, 0) == TextWith(
        "1 parked keys", LANE, "sequence 0", "quorum", "redrive or discard", "from later on"
    )
    replay(fabric, 2, key=C)
    assert set(fabric.parked()) == {"a", C}


def test_a_lane_that_was_handed_over_to_this_region_and_not_taken_over_yet() -> None:
    fabric = delivered(2)
    hand_over(fabric)
    assert refused(fabric, 0) == TextWith(
        LANE,
        f"handed over to {HOME}",
        "eventfabric subscriptions resume",
        "eventfabric lanes --ring",
    )
    fabric.put(event("next"))
    fabric.deliver()
    replay(fabric, 0)
    assert (fabric.cursor().sequence, fabric.cursor().epoch) == (0, 1)


def test_a_record_that_is_not_here() -> None:
    fabric = delivered(1, 1, 1)
    fabric.table.write("Delete", {"Key": record_key(LANE, 1)})
    assert refused(fabric, 0, key="k2") == TextWith("sequence 1", LANE, "not here")


def test_records_that_may_still_come() -> None:
    """A stream with a retention, in a Region that has the second record of a lane and not the first."""
    fabric = SubscribedStream(delivered_in=AWAY, retention_days=1, deliver="everywhere")
    source = audit(fabric)
    for name in ("0", "1"):
        fabric.put(event(name))
        fabric.clock.advance(1)
    fabric.cloud.replicate()
    fabric.table.write("Delete", {"Key": record_key(LANE, 0)})
    replaying = replay_of(fabric, into=source)
    replaying._log = fabric.log
    replaying._ledger = fabric.ledger
    assert message_of(ReplayRefusedError, lambda: replaying.plan(at_sequence(0), lane=LANE)) == TextWith(
        LANE, "later"
    )
