"""The promises of ports.Ledger about commits that write the state of several lanes."""

from dataclasses import replace

import pytest

from eventfabric.errors import RefusedError
from eventfabric.limits import TRANSACTION_ACTIONS_MAX
from eventfabric.model import (
    START,
    Committed,
    Generation,
    Lane,
    LaneChange,
    LaneIndex,
    ParkedChange,
    RaceLost,
    Roster,
)
from tests.contract.test_ledger_contract import KEY, committed, cursor_at
from tests.contract.test_parked_contract import PARKED
from tests.support.backends import HOME, Backend

OTHERS = [
    replace(KEY, lane=Lane(KEY.lane.origin, Generation(1), LaneIndex(index)))
    for index in (2 * KEY.lane.index, 2 * KEY.lane.index + 1)
]


def test_the_cursors_and_parked_keys_of_several_lanes_change_together(backend: Backend) -> None:
    read = committed(backend, cursor_at(3))
    first, second = OTHERS
    change = ParkedChange(None, PARKED)
    moved = cursor_at(4).beside({PARKED.id: replace(PARKED, version=1)})
    moved = replace(moved, roster=Roster.of([PARKED]))
    beside = [LaneChange(first, START, moved, [change]), LaneChange(second, START, cursor_at(4, epoch=3))]
    outcome = backend.ledger.commit(KEY, read, cursor_at(5), beside=beside)
    assert outcome == Committed(cursor_at(5, version=2))
    stored = backend.ledger.state(first)
    assert stored.cursors == {HOME: beside[0].stored} == {HOME: replace(moved, version=1)}
    assert stored.fits(HOME)
    assert stored.parked == {HOME: {PARKED.id: replace(PARKED, version=1)}}
    assert stored.cursor(HOME).roster == Roster.of([PARKED])
    assert backend.ledger.state(second).cursors == {HOME: cursor_at(4, version=1, epoch=3)}


def test_where_another_lane_was_moved_meanwhile_the_race_is_lost_and_nothing_changes(
    backend: Backend,
) -> None:
    read = committed(backend, cursor_at(3))
    first, second = OTHERS
    assert isinstance(backend.another_ledger().commit(second, START, cursor_at(1)), Committed)
    beside = [LaneChange(key, START, cursor_at(4)) for key in OTHERS]
    assert backend.ledger.commit(KEY, read, cursor_at(5), beside=beside) == RaceLost()
    assert backend.ledger.state(KEY).cursor(HOME) == read
    assert backend.ledger.state(first).cursors == {}
    assert backend.ledger.state(second).cursors == {HOME: cursor_at(1, version=1)}


def test_a_commit_of_several_lanes_whose_reply_was_lost_is_recognised_as_its_own(backend: Backend) -> None:
    read = committed(backend, cursor_at(3))
    beside = [LaneChange(key, START, cursor_at(4)) for key in OTHERS]
    backend.lose_replies(1)
    assert isinstance(backend.ledger.commit(KEY, read, cursor_at(5), beside=beside), Committed)
    assert [backend.ledger.state(key).cursor(HOME).version for key in (KEY, *OTHERS)] == [2, 1, 1]


def test_a_commit_of_more_lanes_than_a_transaction_takes_is_refused(backend: Backend) -> None:
    beside = [
        LaneChange(replace(KEY, lane=replace(KEY.lane, index=LaneIndex(index))), START, cursor_at(4))
        for index in range(10, 10 + TRANSACTION_ACTIONS_MAX)
    ]
    with pytest.raises(RefusedError, match="TransactionTooLarge"):
        backend.ledger.commit(KEY, START, cursor_at(5), beside=beside)
