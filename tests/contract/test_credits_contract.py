"""The promises of rare_ports.Credits, on every backend."""

from contextlib import suppress

import pytest

from eventfabric.errors import OutcomeUnknownError, UndecodableItemError
from eventfabric.model import (
    Generation,
    Lane,
    LaneIndex,
    LaneKey,
    SequenceNumber,
    StreamName,
    SubscriptionName,
)
from eventfabric.wire.keys import credit_key
from tests.support.backends import AWAY, HOME, LEDGER_TABLE, Backend

ORDERS, BILLING = StreamName("orders"), SubscriptionName("billing#2")


def key(index: int) -> LaneKey:
    return LaneKey(ORDERS, BILLING, Lane(AWAY, Generation(0), LaneIndex(index)))


def granted(backend: Backend, part: int = 0) -> dict[int, SequenceNumber]:
    grants = backend.credits.granted(ORDERS, BILLING, AWAY, part=part)
    assert set(grants) <= {HOME}
    return {**grants.get(HOME, {})}


def grant(backend: Backend, index: int, sequence: int) -> int:
    return backend.credits.grant(key(index), SequenceNumber(sequence))


def test_nothing_is_granted_at_first(backend: Backend) -> None:
    assert granted(backend) == {}


def test_lanes_are_granted_each_by_itself(backend: Backend) -> None:
    assert [grant(backend, index, 10 + index) for index in (0, 63, 64, 1023)] == [10, 73, 74, 1033]
    assert granted(backend) == {0: 10, 63: 73, 64: 74, 1023: 1033}


def test_lanes_from_1024_on_are_in_another_part(backend: Backend) -> None:
    grant(backend, 1023, 1)
    grant(backend, 1024, 2)
    assert granted(backend) == {1023: 1}
    assert granted(backend, 1) == {1024: 2}


def test_a_grant_never_shrinks_and_says_what_stands(backend: Backend) -> None:
    assert grant(backend, 5, 100) == 100
    assert grant(backend, 5, 40) == 100
    assert grant(backend, 5, 101) == 101
    assert granted(backend) == {5: 101}


def test_a_grant_whose_reply_was_lost_stands(backend: Backend) -> None:
    backend.lose_replies(1)
    with suppress(
        OutcomeUnknownError
    ):  # one backend sends again by itself, the other leaves that to the caller
        grant(backend, 5, 100)
    assert grant(backend, 5, 100) == 100
    assert granted(backend) == {5: 100}


def test_what_cannot_be_read_grants_nothing(backend: Backend) -> None:
    backend.put(LEDGER_TABLE, {**credit_key(key(5), HOME), "5": {"N": "1.5"}, "6": {"N": "7"}})
    assert granted(backend) == {6: 7}
    with pytest.raises(UndecodableItemError):
        grant(backend, 5, 1)
    assert grant(backend, 5, 200) == 200
    assert granted(backend) == {5: 200, 6: 7}


def test_attributes_of_later_versions_are_left_alone(backend: Backend) -> None:
    grant(backend, 5, 100)
    item = backend.get(LEDGER_TABLE, credit_key(key(5), HOME))
    assert item is not None
    backend.put(LEDGER_TABLE, {**item, "later": {"S": "x"}, "64": {"N": "3"}})
    assert granted(backend) == {5: 100}
    grant(backend, 6, 1)
    stored = backend.get(LEDGER_TABLE, credit_key(key(5), HOME))
    assert stored is not None
    assert stored["later"] == {"S": "x"}


def test_what_is_forgotten_is_all_of_a_part_and_nothing_else(backend: Backend) -> None:
    for index in (0, 64, 1024):
        grant(backend, index, 10)
    of_others = [
        LaneKey(ORDERS, SubscriptionName("billing"), key(0).lane),
        LaneKey(ORDERS, BILLING, Lane(HOME, Generation(0), LaneIndex(0))),
    ]
    for other in of_others:
        backend.credits.grant(other, SequenceNumber(7))
    backend.put(LEDGER_TABLE, {**credit_key(key(0), AWAY), "0": {"N": "5"}})
    assert backend.credits.forget(ORDERS, BILLING, AWAY, part=0) == 2
    assert backend.credits.forget(ORDERS, BILLING, AWAY, part=0) == 0
    assert granted(backend, 1) == {1024: 10}
    assert all(backend.get(LEDGER_TABLE, credit_key(other, HOME)) for other in of_others)
    assert backend.get(LEDGER_TABLE, credit_key(key(0), AWAY)), "another Region's"
