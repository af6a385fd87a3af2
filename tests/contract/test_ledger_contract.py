"""The promises of ports.Ledger, on every backend."""

from typing import Any

import pytest

from eventfabric.errors import OutcomeUnknownError, RefusedError
from eventfabric.limits import TRANSACTION_ACTIONS_MAX
from eventfabric.model import (
    START,
    Chain,
    Committed,
    Cursor,
    Generation,
    Lane,
    LaneIndex,
    LaneKey,
    RaceLost,
    SameItemTwice,
    SequenceNumber,
    StreamName,
    SubscriptionName,
    Write,
    WriteRefused,
)
from eventfabric.wire import cursor_item
from tests.support.backends import AWAY, HOME, LEDGER_TABLE, OWN_TABLE, Backend

LANE = Lane(HOME, Generation(0), LaneIndex(1))
KEY = LaneKey(StreamName("orders"), SubscriptionName("billing"), LANE)


def cursor_at(sequence: int, *, base: int | None = None, version: int = 0, epoch: int = 0) -> Cursor:
    start = sequence if base is None else base
    return Cursor(
        SequenceNumber(sequence), SequenceNumber(start), Chain(bytes([sequence]) * 16), version, epoch
    )


def put(name: str, value: str = "1", **more: Any) -> Write:
    return Write("Put", {"TableName": OWN_TABLE, "Item": {"id": {"S": name}, "v": {"S": value}}, **more})


def update(name: str, expression: str, **values: Any) -> Write:
    request = {"TableName": OWN_TABLE, "Key": {"id": {"S": name}}, "UpdateExpression": expression}
    return Write("Update", {**request, "ExpressionAttributeValues": {f":{k}": v for k, v in values.items()}})


def absent(name: str) -> Write:
    request = {"TableName": OWN_TABLE, "Key": {"id": {"S": name}}}
    return Write("ConditionCheck", {**request, "ConditionExpression": "attribute_not_exists(id)"})


def delete(name: str) -> Write:
    return Write("Delete", {"TableName": OWN_TABLE, "Key": {"id": {"S": name}}})


def own(backend: Backend, name: str) -> dict[str, Any] | None:
    return backend.get(OWN_TABLE, {"id": {"S": name}})


def committed(backend: Backend, moved: Cursor, read: Cursor = START, *writes: Write) -> Cursor:
    outcome = backend.ledger.commit(KEY, read, moved, writes=writes)
    assert isinstance(outcome, Committed)
    return outcome.cursor


def test_a_lane_that_nobody_delivered_starts_at_its_beginning(backend: Backend) -> None:
    assert backend.ledger.state(KEY).cursors == {}
    assert backend.ledger.state(KEY).cursor(HOME) == START


def test_a_committed_cursor_is_read_back_with_every_part_and_the_next_version(backend: Backend) -> None:
    stored = committed(backend, cursor_at(7, base=4, version=99, epoch=3))
    assert stored == cursor_at(7, base=4, version=1, epoch=3)
    assert backend.ledger.state(KEY).cursors == {HOME: stored}
    assert backend.another_ledger().state(KEY).cursors == {HOME: stored}


def test_commits_follow_each_other_version_by_version(backend: Backend) -> None:
    first = committed(backend, cursor_at(3))
    second = committed(backend, cursor_at(5), first)
    assert (first.version, second.version) == (1, 2)
    assert backend.ledger.state(KEY).cursor(HOME) == cursor_at(5, version=2)


def test_a_commit_on_a_cursor_that_somebody_moved_loses_the_race_and_changes_nothing(
    backend: Backend,
) -> None:
    read = committed(backend, cursor_at(3))
    assert isinstance(backend.another_ledger().commit(KEY, read, cursor_at(5)), Committed)
    assert backend.ledger.commit(KEY, read, cursor_at(9)) == RaceLost()
    assert backend.ledger.commit(KEY, START, cursor_at(9)) == RaceLost()
    assert backend.ledger.state(KEY).cursor(HOME) == cursor_at(5, version=2)


def test_a_commit_on_a_version_that_never_was_loses_the_race(backend: Backend) -> None:
    assert backend.ledger.commit(KEY, cursor_at(3, version=4), cursor_at(9)) == RaceLost()
    assert backend.ledger.state(KEY).cursors == {}


def test_the_same_move_by_another_consumer_is_a_race_lost_and_not_an_own_commit(backend: Backend) -> None:
    assert isinstance(backend.another_ledger().commit(KEY, START, cursor_at(5)), Committed)
    assert backend.ledger.commit(KEY, START, cursor_at(5)) == RaceLost()


@pytest.mark.parametrize("writes", [(), (put("a"),)], ids=["plain", "with writes"])
@pytest.mark.parametrize("lost", [1, 2])
def test_a_commit_whose_reply_was_lost_is_recognised_as_its_own(
    backend: Backend, writes: tuple[Write, ...], lost: int
) -> None:
    for read, moved in ((START, cursor_at(3)), (cursor_at(3, version=1), cursor_at(5))):
        backend.lose_replies(lost)
        outcome = backend.ledger.commit(KEY, read, moved, writes=writes)
        assert isinstance(outcome, Committed)
        assert outcome.cursor.sequence == moved.sequence
    assert backend.ledger.state(KEY).cursor(HOME) == cursor_at(5, version=2)


@pytest.mark.parametrize("writes", [(), (put("a"),)], ids=["plain", "with writes"])
def test_a_commit_without_any_reply_says_that_its_outcome_is_unknown(
    backend: Backend, writes: tuple[Write, ...]
) -> None:
    backend.lose_replies(3)
    with pytest.raises(OutcomeUnknownError):
        backend.ledger.commit(KEY, START, cursor_at(3), writes=writes)
    assert backend.ledger.state(KEY).cursor(HOME) == cursor_at(3, version=1)
    assert (own(backend, "a") is not None) == bool(writes)


@pytest.mark.parametrize("writes", [(), (put("a", ConditionExpression="attribute_not_exists(id)"),)])
def test_a_commit_that_is_made_again_later_with_its_token_was_written_once(
    backend: Backend, writes: tuple[Write, ...]
) -> None:
    """Moments later it says another time of the write, so to the service it is not the same request."""
    token = bytes(range(16))
    backend.lose_replies(3)
    with pytest.raises(OutcomeUnknownError):
        backend.ledger.commit(KEY, START, cursor_at(3), writes=writes, token=token)
    backend.clock.advance(2)
    assert isinstance(backend.ledger.commit(KEY, START, cursor_at(3), writes=writes, token=token), Committed)
    assert backend.ledger.state(KEY).cursor(HOME) == cursor_at(3, version=1)


def test_the_state_shows_other_regions_cursors_and_a_commit_never_touches_them(backend: Backend) -> None:
    theirs = cursor_at(40, version=8)
    backend.put(LEDGER_TABLE, cursor_item.to_item(KEY, AWAY, theirs, token=b"t" * 16, now_ms=0))
    mine = committed(backend, cursor_at(3))
    assert backend.ledger.state(KEY).cursors == {HOME: mine, AWAY: theirs}


@pytest.mark.parametrize(
    "other",
    [
        LaneKey(StreamName("orders"), SubscriptionName("billing"), Lane(HOME, Generation(0), LaneIndex(10))),
        LaneKey(StreamName("orders"), SubscriptionName("billing"), Lane(AWAY, Generation(0), LaneIndex(1))),
        LaneKey(StreamName("orders"), SubscriptionName("search"), LANE),
        LaneKey(StreamName("returns"), SubscriptionName("billing"), LANE),
    ],
    ids=str,
)
def test_cursors_of_other_lanes_and_subscriptions_are_others(backend: Backend, other: LaneKey) -> None:
    assert isinstance(backend.ledger.commit(other, START, cursor_at(9)), Committed)
    assert backend.ledger.state(KEY).cursors == {}


def test_writes_commit_together_with_the_cursor(backend: Backend) -> None:
    for item in ("changed", "gone"):
        backend.put(OWN_TABLE, {"id": {"S": item}, "n": {"N": "1"}})
    writes = (
        put("new"),
        update("changed", "SET v = :v ADD n :n", v={"S": "x"}, n={"N": "2"}),
        delete("gone"),
        absent("other"),
    )
    assert committed(backend, cursor_at(3), START, *writes) == cursor_at(3, version=1)
    assert own(backend, "new") == {"id": {"S": "new"}, "v": {"S": "1"}}
    assert own(backend, "changed") == {"id": {"S": "changed"}, "v": {"S": "x"}, "n": {"N": "3"}}
    assert own(backend, "gone") is None


def test_an_update_makes_the_item_that_is_not_there(backend: Backend) -> None:
    committed(backend, cursor_at(3), START, update("new", "ADD n :n", n={"N": "2"}))
    assert own(backend, "new") == {"id": {"S": "new"}, "n": {"N": "2"}}


def test_a_lost_race_leaves_none_of_the_writes(backend: Backend) -> None:
    committed(backend, cursor_at(3))
    assert backend.ledger.commit(KEY, START, cursor_at(9), writes=(put("a"),)) == RaceLost()
    assert own(backend, "a") is None
    assert backend.ledger.state(KEY).cursor(HOME) == cursor_at(3, version=1)


def test_a_writes_own_failed_condition_is_reported_with_its_place_and_nothing_is_written(
    backend: Backend,
) -> None:
    backend.put(OWN_TABLE, {"id": {"S": "taken"}})
    writes = (put("a"), put("taken", ConditionExpression="attribute_not_exists(id)"), absent("taken-not"))
    outcome = backend.ledger.commit(KEY, START, cursor_at(9), writes=writes)
    assert isinstance(outcome, WriteRefused)
    assert (outcome.index, outcome.code) == (1, "ConditionalCheckFailed")
    assert own(backend, "a") is None
    assert backend.ledger.state(KEY).cursors == {}


def test_a_condition_on_a_value_compares_it(backend: Backend) -> None:
    backend.put(OWN_TABLE, {"id": {"S": "a"}, "v": {"S": "1"}})
    more = {"ConditionExpression": "v = :v", "ExpressionAttributeValues": {":v": {"S": "1"}}}
    cursor = committed(backend, cursor_at(3), START, put("a", "2", **more))
    assert isinstance(
        backend.ledger.commit(KEY, cursor, cursor_at(9), writes=(put("a", "3", **more),)), WriteRefused
    )
    assert own(backend, "a") == {"id": {"S": "a"}, "v": {"S": "2"}}


def test_a_lost_race_is_reported_before_a_refused_write(backend: Backend) -> None:
    committed(backend, cursor_at(3))
    backend.put(OWN_TABLE, {"id": {"S": "taken"}})
    assert backend.ledger.commit(KEY, START, cursor_at(9), writes=(absent("taken"),)) == RaceLost()


def test_two_writes_to_one_item_are_named_and_nothing_is_written(backend: Backend) -> None:
    assert (
        backend.ledger.commit(KEY, START, cursor_at(9), writes=(put("a"), put("b"), put("a", "2")))
        == SameItemTwice()
    )
    assert own(backend, "b") is None
    assert backend.ledger.state(KEY).cursors == {}


def test_a_commit_takes_as_many_writes_as_a_transaction_leaves_beside_the_cursor(backend: Backend) -> None:
    writes = [put(f"w{index}") for index in range(TRANSACTION_ACTIONS_MAX - 1)]
    assert isinstance(backend.ledger.commit(KEY, START, cursor_at(9), writes=writes), Committed)
    assert all(own(backend, f"w{index}") for index in range(TRANSACTION_ACTIONS_MAX - 1))


def test_more_writes_than_that_are_refused_without_effect(backend: Backend) -> None:
    writes = [put(f"w{index}") for index in range(TRANSACTION_ACTIONS_MAX)]
    with pytest.raises(RefusedError):
        backend.ledger.commit(KEY, START, cursor_at(9), writes=writes)
    assert own(backend, "w0") is None
    assert backend.ledger.state(KEY).cursors == {}


def test_a_write_to_a_table_that_is_not_there_is_refused_without_effect(backend: Backend) -> None:
    stray = Write("Put", {"TableName": "nowhere", "Item": {"id": {"S": "a"}}})
    with pytest.raises(RefusedError):
        backend.ledger.commit(KEY, START, cursor_at(9), writes=(put("a"), stray))
    assert own(backend, "a") is None
    assert backend.ledger.state(KEY).cursors == {}
