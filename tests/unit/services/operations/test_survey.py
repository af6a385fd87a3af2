"""Positions of lanes, and the ring for those that lag."""

import pytest

from eventfabric.model import EMPTY_TAIL, Standing
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.services.lanes.tails import tails_of
from eventfabric.services.operations.survey import LaneStanding, ring_again, survey
from tests.support.memory_fabric import AWAY, HOME, LANE, event, lane
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream


def standings(fabric: SubscribedStream) -> list[LaneStanding]:
    """All lanes that have events, for the one subscription, as its Region sees them."""
    tails = tails_of(fabric.log, lanes_of(fabric.stream), now_ms=fabric.clock.now_ms())
    return list(survey(fabric.subscription, tails, log=fabric.log, ledger=fabric.ledger, standing=Standing()))


def ring(fabric: SubscribedStream, standings: list[LaneStanding]) -> list[LaneStanding]:
    doorbells = fabric.cloud.doorbells(fabric.region)
    return ring_again(standings, doorbells=doorbells, now_ms=fabric.clock.now_ms())


def test_a_stream_can_have_its_lanes_in_every_origin() -> None:
    assert set(lanes_of(SubscribedStream().stream)) == {
        lane(n, origin) for n in (0, 1) for origin in (HOME, AWAY)
    }


def test_only_lanes_that_have_events_have_tails() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"), event("b"))
    tails = tails_of(fabric.log, lanes_of(fabric.stream), now_ms=fabric.clock.now_ms())
    assert list(tails) == [LANE]
    assert tails[LANE].sequence == 2
    assert EMPTY_TAIL not in tails.values()


def test_the_lag_is_what_the_log_has_beyond_the_cursor() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"), event("b"))
    fabric.deliver()
    assert [standing.lag for standing in standings(fabric)] == [0]
    fabric.put(event("c"))
    (standing,) = standings(fabric)
    assert (standing.tail.sequence, standing.cursor.sequence, standing.lag) == (3, 2, 1)


@pytest.mark.parametrize(("deliver", "regions"), [("origin", [HOME]), ("everywhere", [HOME, AWAY])])
def test_a_lane_stands_only_where_the_subscription_delivers_it(deliver: str, regions: list[str]) -> None:
    seen = []
    for region in (HOME, AWAY):
        fabric = SubscribedStream(delivered_in=region, deliver=deliver)
        fabric.put(event("a"))
        fabric.cloud.replicate()
        seen += [region] if standings(fabric) else []
    assert seen == regions


def test_a_replica_that_is_behind_its_own_cursor_lags_by_nothing() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"))
    fabric.deliver()
    (standing,) = standings(fabric)
    assert (
        LaneStanding(standing.subscription, standing.lane, EMPTY_TAIL, standing.cursor, standing.cursor).lag
        == 0
    )


def test_only_lanes_that_lag_are_rung() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"))
    fabric.deliver()
    assert ring(fabric, standings(fabric)) == []
    assert len(fabric.queue) == 0
    fabric.put(event("b"))
    behind = standings(fabric)
    assert ring(fabric, behind) == behind
    assert len(fabric.queue) == 1


def test_a_lane_that_lags_is_rung_beside_one_that_does_not() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"))
    fabric.put(event("b"), of=lane(1))
    fabric.deliver()
    lane_standings = standings(fabric)
    assert {standing.lane: standing.lag for standing in lane_standings} == {LANE: 0, lane(1): 1}
    assert [standing.lane for standing in ring(fabric, lane_standings)] == [lane(1)]
    fabric.deliver_all()
    assert fabric.recorder.ids() == ["a", "b"]


def test_a_ring_arrives_though_the_queue_remembers_the_one_that_was_lost() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"))
    fabric.relay_all()
    (lost,) = fabric.queue.receive()
    fabric.queue.delete(lost.receipt_handle)
    assert ring(fabric, standings(fabric))
    fabric.deliver_all()
    assert fabric.recorder.ids() == ["a"]


def test_two_rings_within_a_minute_are_one_message() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"))
    assert len(ring(fabric, standings(fabric)) + ring(fabric, standings(fabric))) == 2
    assert len(fabric.queue) == 1
    fabric.clock.advance(60)
    ring(fabric, standings(fabric))
    assert len(fabric.queue) == 2


def test_a_lane_whose_doorbell_could_not_be_sent_does_not_count_as_rung() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"))

    class Silent:
        """A queue that takes nothing."""

        def ring(self, subscription: str, doorbells: list[object]) -> list[object]:
            assert subscription == SUBSCRIPTION
            return doorbells

        def release(self, subscription: str, receipt_handle: str) -> None:
            raise AssertionError

    assert ring_again(standings(fabric), doorbells=Silent(), now_ms=0) == []  # type: ignore[arg-type]  # it only rings
