"""Reads of a subscription's standing, and what one process makes of others' changes to it."""

import pytest

from eventfabric import limits
from eventfabric.model import Circuit, CircuitState, Owner, Region
from eventfabric.ports import Ledger
from eventfabric.services.lanes.standing import Standings, ledger_of, owner_of
from eventfabric.testing.memory.faults import Fault, Faults
from tests.support.expiry import reconciled
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, FAR, HOME
from tests.support.subscribed_stream import LANE_KEY, SubscribedStream

CACHED = limits.CIRCUIT_CACHE_SECONDS
DOUBT = limits.OWNER_DOUBT_SECONDS


class Asking:
    """The standings of one process in HOME; `here` and `there` are the calls of ledgers."""

    def __init__(self, fabric: SubscribedStream) -> None:
        self.fabric = fabric
        self.here, self.there = Faults(), Faults()
        self.asked: list[Region] = []
        self.standings = Standings(
            fabric.subscription,
            ledger=self.here.ledger(fabric.ledger),
            clock=fabric.clock,
            elsewhere=self._elsewhere,
        )

    def _elsewhere(self, region: Region) -> Ledger:
        self.asked.append(region)
        return self.there.ledger(self.fabric.cloud.ledger(region))

    def reads(self) -> int:
        return self.here.count("ledger.standing")


@pytest.mark.parametrize(("seconds", "reads"), [(0, 1), (CACHED - 0.001, 1), (CACHED, 2), (-0.001, 2)])
def test_a_closed_circuit_is_known_for_some_seconds_and_for_none_by_a_clock_that_jumped_back(
    seconds: float, reads: int
) -> None:
    asking = Asking(SubscribedStream())
    asking.standings.now()
    if seconds < 0:
        asking.fabric.clock.set_back(-seconds)
    else:
        asking.fabric.clock.advance(seconds)
    asking.standings.now()
    assert asking.reads() == reads


@pytest.mark.parametrize("set_back_seconds", [90, 3_600])
def test_a_clock_set_back_while_a_function_idles_makes_nothing_younger(set_back_seconds: float) -> None:
    asking = Asking(SubscribedStream())
    asking.standings.now()
    asking.fabric.clock.advance(set_back_seconds + 1)
    asking.fabric.clock.set_back(set_back_seconds)  # so that the wall clock says: a second
    asking.standings.now()
    assert asking.reads() == 2


def test_a_circuit_that_is_not_closed_is_read_each_time() -> None:
    asking = Asking(SubscribedStream())
    assert asking.standings.switch(Circuit(), Circuit(CircuitState.OPEN))
    for _ in range(3):
        assert asking.standings.now().circuit.state is CircuitState.OPEN
    assert asking.reads() == 3


def test_who_closes_it_knows_so_from_then_on() -> None:
    asking = Asking(SubscribedStream())
    standings = asking.standings
    standings.now()
    asking.fabric.clock.advance(CACHED - 1)
    assert standings.switch(standings.known.circuit, Circuit(since_ms=7))
    asking.fabric.clock.advance(CACHED - 1)
    assert standings.now().circuit.since_ms == 7
    assert asking.reads() == 1


def test_who_is_too_late_to_move_it_knows_how_it_stands() -> None:
    fabric = SubscribedStream()
    late, other = Asking(fabric).standings, Asking(fabric).standings
    read = late.now().circuit
    assert other.switch(read, Circuit(CircuitState.PAUSED, "by hand"))
    assert not late.switch(read, Circuit(CircuitState.OPEN))
    assert (late.known.circuit.state, late.known.circuit.reason) == (CircuitState.PAUSED, "by hand")


def handed_over_unseen(fabric: SubscribedStream) -> None:
    """AWAY owns HOME's lanes, and nothing of that was replicated."""
    fabric.cloud.cut(HOME)
    hand_over(fabric.in_region(AWAY))


def test_the_others_are_asked_once_in_a_while_and_nobody_asks_itself() -> None:
    asking = Asking(SubscribedStream(durability="quorum"))
    for seconds in (0, DOUBT - 0.001, 0.001, DOUBT):
        asking.fabric.clock.advance(seconds)
        asking.standings.ask(HOME)
    assert asking.asked == [AWAY, FAR] * 3


def test_what_others_said_is_known_at_once_and_after_each_read() -> None:
    fabric = SubscribedStream()
    handed_over_unseen(fabric)
    standings = Asking(fabric).standings
    owner = standings.ask(HOME)
    assert owner is not None
    assert (owner.region, owner.epoch) == (AWAY, 1)
    for lane_owner in (owner_of(fabric.subscription, HOME, standings.known), standings.read_owner(HOME)):
        assert lane_owner == owner
    assert not standings.owns(HOME)


def test_who_does_not_answer_is_passed_over() -> None:
    fabric = SubscribedStream(durability="quorum")
    handed_over_unseen(fabric)
    asking = Asking(fabric)
    asking.there.rules.append(
        lambda called, overall, of_name: Fault.LOST_REQUEST if asking.asked[-1] == FAR else None
    )
    owner = asking.standings.ask(HOME)
    assert owner is not None
    assert owner.region == AWAY
    assert asking.asked == [AWAY, FAR]


def test_a_lane_is_in_doubt_where_it_was_not_written_for_long() -> None:
    fabric = SubscribedStream()
    doubt_ms = fabric.clock.now_ms() - 1000 * DOUBT
    standings = Asking(fabric).standings
    assert [standings.is_in_doubt(doubt_ms + after_ms) for after_ms in (-1, 0)] == [True, False]


@pytest.mark.parametrize(("seconds", "in_doubt"), [(DOUBT, False), (DOUBT + 0.001, True)])
def test_it_is_not_while_reconciliation_asks_others(seconds: float, in_doubt: bool) -> None:
    fabric = SubscribedStream()
    assert reconciled(fabric, repair=False) == []
    fabric.clock.advance(seconds)
    standings = Asking(fabric).standings
    standings.read()
    assert standings.is_in_doubt(0) == in_doubt


def test_by_the_definition_a_lane_is_delivered_by_its_origin_with_no_number_yet() -> None:
    fabric = SubscribedStream()
    standing = fabric.ledger.standing(LANE_KEY.stream, LANE_KEY.subscription)
    for region in (HOME, AWAY):
        assert owner_of(fabric.subscription, region, standing) == Owner(region, region, 0, region)
    everywhere = SubscribedStream(deliver="everywhere")
    assert owner_of(everywhere.subscription, HOME, standing) is None


def test_where_regions_share_one_state_it_is_kept_under_one_of_them_and_else_under_each() -> None:
    shared = SubscribedStream(durability="quorum")
    home, away = (shared.cloud.ledger(region) for region in (HOME, AWAY))
    assert shared.subscription.home(HOME) == HOME
    assert ledger_of(away, shared.subscription, HOME).region == HOME
    assert ledger_of(home, shared.subscription, HOME) is home
    assert ledger_of(home, SubscribedStream().subscription, AWAY) is home
