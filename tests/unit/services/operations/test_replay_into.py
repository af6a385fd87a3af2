"""Feeding one subscription from another: where its cursors go, and which are left as they are."""

from dataclasses import replace

import pytest

from eventfabric.errors import ReplayRefusedError
from eventfabric.model import (
    START,
    Cursor,
    Lane,
    LaneKey,
    SequenceNumber,
    Start,
    StreamName,
    SubscriptionName,
)
from eventfabric.services.operations.replay_plan import LaneReplayed
from eventfabric.stream_topology import SubscriptionTopology
from tests.support.memory_fabric import HOME, LANE, STREAM, event, lane
from tests.support.messages import raises_with
from tests.support.replays import at_sequence, replay_of
from tests.support.subscribed_stream import SubscribedStream


def audit(fabric: SubscribedStream, **changes: object) -> SubscriptionTopology:
    """A second subscription of the fabric's stream, with the queue of the first."""
    definition = replace(fabric.subscription.definition, name="audit", **changes)  # type: ignore[arg-type]  # by name
    return replace(fabric.subscription, name="audit", definition=definition)


def key_of(of: Lane) -> LaneKey:
    return LaneKey(StreamName(STREAM), SubscriptionName("audit"), of)


def cursor(fabric: SubscribedStream, of: Lane = LANE) -> Cursor:
    return fabric.cloud.ledger(HOME).state(key_of(of)).cursor(HOME)


def stands_at(fabric: SubscribedStream, sequence: int, of: Lane = LANE) -> None:
    """Have the second subscription deliver up to there."""
    tail = fabric.log.tail(of, before=SequenceNumber(sequence))
    to = Cursor(tail.sequence, tail.sequence, tail.chain)
    fabric.cloud.ledger(HOME).commit(key_of(of), cursor(fabric, of), to)


class Rings:
    """Doorbells that are only counted: the second subscription has no queue here."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    def ring(self, subscription: str, doorbells: list[object]) -> list[object]:
        self.rung.append(subscription)
        return []


def feed(fabric: SubscribedStream, start: Start | None, of: Lane | None = None) -> list[LaneReplayed]:
    replay = replay_of(fabric, into=audit(fabric))
    replay._doorbells = rings = Rings()  # type: ignore[assignment]  # it only rings
    done = [replay.carry_out(plan) for plan in replay.plan(start, lane=of)]
    assert rings.rung == ["audit"] * sum(result.plan.changes_anything for result in done)
    return done


@pytest.fixture
def fabric() -> SubscribedStream:
    """Five events in a lane, of which the first subscription has three; and one in the other."""
    fabric = SubscribedStream()
    for number in range(3):
        fabric.put(event(f"{number}"))
    fabric.deliver()
    for number in range(3, 5):
        fabric.put(event(f"{number}"))
    fabric.put(event("other"), of=lane(1))
    return fabric


def test_a_fresh_subscription_begins_there_and_none_of_it_is_marked_as_a_replay(
    fabric: SubscribedStream,
) -> None:
    before = fabric.cursor()
    feed(fabric, at_sequence(1))
    assert cursor(fabric) == Cursor(
        SequenceNumber(1),
        SequenceNumber(1),
        fabric.records()[0].chain,
        1,
        replay_until=SequenceNumber(3),
        replay_from=SequenceNumber(3),
        began=SequenceNumber(1),
    )
    assert (cursor(fabric).is_replaying, cursor(fabric).is_replay) == (True, False)
    assert fabric.cursor() == before


def test_a_fresh_subscription_may_begin_behind_what_the_other_had(fabric: SubscribedStream) -> None:
    feed(fabric, at_sequence(4))
    assert (cursor(fabric).sequence, cursor(fabric).replay_until, cursor(fabric).began) == (4, 0, 4)
    assert (cursor(fabric, lane(1)).sequence, cursor(fabric, lane(1)).began) == (1, 1)


def test_a_fresh_subscription_gets_all_where_nobody_says_from_where(fabric: SubscribedStream) -> None:
    feed(fabric, None)
    assert (cursor(fabric).sequence, cursor(fabric).replay_until, cursor(fabric).began) == (0, 3, 0)
    assert cursor(fabric, lane(1)) == START


def test_one_that_has_delivered_needs_a_start_and_never_skips_an_event(
    fabric: SubscribedStream,
) -> None:
    stands_at(fabric, 2)
    with raises_with(ReplayRefusedError, "--from", "audit", f"{LANE} is at 2"):
        feed(fabric, None)
    feed(fabric, at_sequence(4))
    assert (cursor(fabric).sequence, cursor(fabric, lane(1))) == (2, START)
    feed(fabric, at_sequence(1))
    assert (cursor(fabric).sequence, cursor(fabric).replay_until, cursor(fabric).began) == (1, 2, 0)
    assert cursor(fabric, lane(1)) == START


def test_a_lane_is_fresh_by_itself_where_it_alone_is_named(fabric: SubscribedStream) -> None:
    stands_at(fabric, 2)
    feed(fabric, at_sequence(1), lane(1))
    assert (cursor(fabric).sequence, cursor(fabric, lane(1)).sequence) == (2, 1)


def test_what_is_no_other_subscription_of_the_stream_is_refused(fabric: SubscribedStream) -> None:
    with raises_with(ReplayRefusedError, "billing", "itself"):
        replay_of(fabric, into=fabric.subscription)
    with raises_with(ReplayRefusedError, "audit is of stream invoices", "billing of orders"):
        replay_of(fabric, into=audit(fabric, stream="invoices"))
    with pytest.raises(ReplayRefusedError, match="audit has replay = false"):
        replay_of(fabric, into=audit(fabric, replay=False))
    with raises_with(ReplayRefusedError, "sequence 6", f"{LANE} ends at 5"):
        feed(fabric, at_sequence(6))
    assert cursor(fabric) == START
