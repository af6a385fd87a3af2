"""Standings: the clock by which they grow old, the handovers that count, and the places of lanes by them."""

from dataclasses import replace

import pytest

from eventfabric.model import (
    EMPTY_TAIL,
    Circuit,
    CircuitState,
    Doorbell,
    HybridTime,
    Owner,
    Region,
    SequenceNumber,
    Standing,
    StreamName,
    SubscriptionName,
    Tail,
)
from eventfabric.services.lanes.standing import Standings, is_delivered_by, lanes_of, owner_of
from eventfabric.services.lanes.tails import tails_of
from eventfabric.services.operations.survey import LaneStanding, ring_again, survey
from eventfabric.wire.doorbell import from_body
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, FAR, HOME, LANE, STREAM, event, lane
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream
from tests.unit.services.lanes.test_standings import CACHED, DOUBT, Asking, handed_over_unseen

OF = (StreamName(STREAM), SubscriptionName(SUBSCRIPTION))


@pytest.mark.parametrize(("wall_seconds", "reads"), [(CACHED - 0.001, 1), (CACHED, 2)])
def test_a_clock_that_stands_while_a_function_is_frozen_keeps_nothing_fresh(
    wall_seconds: float, reads: int
) -> None:
    asking = Asking(SubscribedStream())
    asking.standings.now()
    asking.fabric.clock.set_back(-wall_seconds)  # the wall clock alone moves on
    asking.standings.now()
    assert asking.reads() == reads


@pytest.mark.parametrize(("wall_seconds", "times"), [(DOUBT - 0.001, 1), (DOUBT, 2), (-0.001, 2)])
def test_the_others_are_asked_again_by_either_clock(wall_seconds: float, times: int) -> None:
    asking = Asking(SubscribedStream())
    asking.standings.ask(HOME)
    asking.fabric.clock.set_back(-wall_seconds)
    asking.standings.ask(HOME)
    assert asking.asked == [AWAY] * times


def test_before_the_first_read_nothing_is_known_and_whose_it_is() -> None:
    asking = Asking(SubscribedStream())
    assert (asking.standings.known, asking.standings.region, asking.reads()) == (Standing(), HOME, 0)


def test_what_was_read_is_what_stands_and_is_known_from_then_on() -> None:
    fabric = SubscribedStream()
    hand_over(fabric, to=AWAY, epoch=3)
    assert fabric.ledger.switch(*OF, Circuit(), Circuit(CircuitState.OPEN, "down", since_ms=7)) is not None
    standings = Asking(fabric).standings
    read = standings.read()
    assert read == fabric.ledger.standing(*OF)
    assert (read.circuit.reason, read.owners, standings.known) == ("down", (read.owner(HOME),), read)


def test_who_moves_the_circuit_knows_it_at_its_next_version_and_all_else_as_it_was() -> None:
    fabric = SubscribedStream()
    hand_over(fabric, to=AWAY)
    standings = Asking(fabric).standings
    before = standings.read()
    assert standings.switch(before.circuit, Circuit(CircuitState.OPEN, "down"))
    stands = Circuit(CircuitState.OPEN, "down", version=1)
    assert standings.known == replace(before, circuit=stands) == fabric.ledger.standing(*OF)


def test_a_move_is_as_good_as_a_read() -> None:
    asking = Asking(SubscribedStream())
    assert asking.standings.switch(Circuit(), Circuit(since_ms=7))
    asking.standings.now()
    assert asking.reads() == 0


def test_where_nobody_can_be_asked_it_goes_by_what_is_here() -> None:
    fabric = SubscribedStream()
    standings = Standings(fabric.subscription, ledger=fabric.ledger, clock=fabric.clock)
    assert standings.ask(HOME) == Owner(HOME, HOME, 0, HOME)
    hand_over(fabric, to=AWAY)
    standings.read()
    owner = standings.ask(HOME)
    assert owner is not None
    assert (owner.region, owner.epoch, standings.owns(HOME), standings.owns(AWAY)) == (AWAY, 1, False, False)


def test_what_each_of_the_others_said_is_kept_beside_what_is_here() -> None:
    """Nothing is replicated between the three."""
    fabric = SubscribedStream(durability="quorum")
    others = {AWAY: SubscribedStream(durability="quorum"), FAR: SubscribedStream(durability="quorum")}
    here, latest, other = Owner(AWAY, HOME, 1, HOME), Owner(HOME, AWAY, 2, AWAY), Owner(HOME, FAR, 1, FAR)
    for ledger, owner in ((fabric.ledger, here), (others[AWAY].ledger, latest), (others[FAR].ledger, other)):
        assert ledger.hand_over(*OF, None, owner)
    standings = Standings(
        fabric.subscription,
        ledger=fabric.ledger,
        clock=fabric.clock,
        elsewhere=lambda region: others[region].ledger,
    )
    standings.read()
    lane_owner = standings.ask(HOME)
    assert lane_owner == replace(latest, version=1)
    for known in (standings.known, standings.read()):
        assert {replace(owner, version=0) for owner in known.owners} == {here, latest, other}


@pytest.mark.parametrize(("steady_seconds", "reads"), [(CACHED - 0.001, 1), (CACHED, 2)])
def test_a_clock_that_was_set_back_a_little_keeps_nothing_fresh_for_longer(
    steady_seconds: float, reads: int
) -> None:
    asking = Asking(SubscribedStream())
    asking.standings.now()
    asking.fabric.clock.advance(steady_seconds)
    asking.fabric.clock.set_back(1)
    asking.standings.now()
    assert asking.reads() == reads


def test_the_number_of_an_owner_is_read_anew_where_that_is_asked_for() -> None:
    asking = Asking(SubscribedStream())
    assert asking.standings.owner(HOME) == Owner(HOME, HOME, 0, HOME)
    hand_over(asking.fabric, to=AWAY)
    asking.standings.read_owner(HOME)
    hand_over(asking.fabric, to=FAR, epoch=2)
    asking.fabric.clock.set_back(CACHED)  # so that what was read last is fresh by the wall clock
    reads = asking.reads()
    owner = asking.standings.read_owner(HOME)
    assert owner is not None
    assert (owner.region, asking.reads()) == (FAR, reads + 1)


@pytest.mark.parametrize(
    ("written_ms", "seen_ms", "doubt"), [(-1, -1, True), (0, -1, False), (-1, 0, False), (0, 0, False)]
)
def test_a_lane_is_in_doubt_where_neither_it_nor_reconciliation_was_seen_for_long(
    written_ms: int, seen_ms: int, doubt: bool
) -> None:
    fabric = SubscribedStream()
    doubt_ms = fabric.clock.now_ms() - 1000 * DOUBT
    standings = Asking(fabric).standings
    standings._known = Standing(seen_ms=doubt_ms + seen_ms)
    assert standings.is_in_doubt(doubt_ms + written_ms) is doubt


@pytest.mark.parametrize("region", [HOME, AWAY, FAR])
def test_who_delivers_an_origins_lanes(region: Region) -> None:
    fabric, standing = SubscribedStream(), Standing(owners=(Owner(HOME, AWAY, 1, AWAY),))
    everywhere = SubscribedStream(deliver="everywhere").subscription
    assert is_delivered_by(region, fabric.subscription, HOME, Standing()) is (region == HOME)
    assert is_delivered_by(region, fabric.subscription, HOME, standing) is (region == AWAY)
    assert is_delivered_by(region, everywhere, HOME, standing) is (region != FAR)
    assert owner_of(fabric.subscription, HOME, standing) == standing.owners[0]


def test_others_that_do_not_know_of_it_take_nothing_from_what_is_known() -> None:
    fabric = SubscribedStream()
    handed_over_unseen(fabric)
    standings = Asking(fabric).standings
    owner = standings.ask(HOME)
    fabric.clock.advance(DOUBT)
    assert standings.ask(HOME) == owner
    assert set(standings.known.owners) == {owner}


class TestSurvey:
    def test_every_lane_that_a_stream_can_have_is_listed_origin_by_origin(self) -> None:
        assert lanes_of(SubscribedStream(lanes=2).stream) == [
            lane(0, HOME),
            lane(1, HOME),
            lane(0, AWAY),
            lane(1, AWAY),
        ]

    def test_where_lanes_stand_is_reported_with_tail_and_cursor(self) -> None:
        fabric = SubscribedStream()
        fabric.put(event("a"), event("b"))
        fabric.deliver()
        fabric.put(event("c"))
        fabric.put(event("d"), of=lane(1))
        tails = tails_of(fabric.log, lanes_of(fabric.stream), now_ms=fabric.clock.now_ms())
        assert tails == {other_lane: fabric.log.tail(other_lane) for other_lane in (LANE, lane(1))}
        standings = list(
            survey(fabric.subscription, tails, log=fabric.log, ledger=fabric.ledger, standing=Standing())
        )
        assert standings == [
            LaneStanding(fabric.subscription, other_lane, tails[other_lane], cursor, cursor)
            for other_lane in (LANE, lane(1))
            for cursor in [fabric.cursor(other_lane)]
        ]
        assert [standing.lag for standing in standings] == [1, 1]

    def test_lanes_that_were_handed_over_do_not_stand_here_and_the_others_do(self) -> None:
        fabric = SubscribedStream(deliver="one", region=HOME)
        tails = {
            other_lane: Tail(SequenceNumber(1), EMPTY_TAIL.chain, HybridTime(1))
            for other_lane in (LANE, lane(0, AWAY))
        }
        standing = Standing(owners=(Owner(HOME, AWAY, 1, AWAY),))
        standings = survey(
            fabric.subscription, tails, log=fabric.log, ledger=fabric.ledger, standing=standing
        )
        assert [standing.lane for standing in standings] == [lane(0, AWAY)]

    def test_it_is_rung_for_the_tail_with_the_minute_as_its_number(self) -> None:
        fabric = SubscribedStream()
        fabric.put(event("a"), event("b"))
        tails = tails_of(fabric.log, lanes_of(fabric.stream), now_ms=fabric.clock.now_ms())
        standings = list(
            survey(fabric.subscription, tails, log=fabric.log, ledger=fabric.ledger, standing=Standing())
        )
        doorbells = fabric.cloud.doorbells(HOME)
        assert ring_again(standings, doorbells=doorbells, now_ms=7 * 60_000 + 59_999) == standings
        bells = [from_body(body) for body in fabric.queue.bodies]
        assert bells == [Doorbell(StreamName(STREAM), LANE, SequenceNumber(2), again=7)]
