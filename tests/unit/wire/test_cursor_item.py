"""The cursor's item, and the ledger's keys."""

from dataclasses import replace
from math import nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import msgpack

from eventfabric.errors import UndecodableItemError
from eventfabric.model import START, Cursor, LaneKey, LaneState, Region, SequenceNumber
from eventfabric.model.credit import Account
from eventfabric.wire import cursor_item, keys
from tests.support.strategies import REGIONS, cursors, lane_keys

TOKENS = st.binary(min_size=16, max_size=16)


@given(lane_keys, st.sampled_from(REGIONS).map(Region), cursors, TOKENS, st.integers(0, 2**45))
def test_a_cursor_comes_back_from_its_item_with_its_key_and_its_token(
    key: LaneKey, region: Region, cursor: Cursor, token: bytes, now_ms: int
) -> None:
    item = cursor_item.to_item(key, region, cursor, token=token, now_ms=now_ms)
    assert cursor_item.from_item(item) == cursor
    assert item["w"] == {"B": token}
    assert item["u"] == {"N": str(now_ms)}
    assert keys.lane_key_of(item) == key
    assert keys.ledger_region_and_kind(item) == (region, "cursor")
    assert keys.is_cursor("cursor")


@pytest.mark.parametrize("attribute", ["s", "a", "c", "v", "e"])
@pytest.mark.parametrize("wrong", [None, {"S": "x"}, {"N": "x"}], ids=str)
def test_an_item_that_is_no_cursor_is_refused(attribute: str, wrong: dict[str, Any] | None) -> None:
    key = keys.lane_key_of({"pk": {"S": "orders/billing/us-east-1/0.1"}})
    item: dict[str, Any] = cursor_item.to_item(key, Region("us-east-1"), START, token=b"t", now_ms=0)
    item[attribute] = wrong or {}
    with pytest.raises(UndecodableItemError, match=rf"orders/billing/us-east-1/0.1 .*field {attribute}"):
        cursor_item.from_item(item)


@pytest.mark.parametrize("pk", ["orders", "orders/billing/us-east-1", "a/b/c/d/e", "a/b/c/x", "a/b/c/1.x"])
def test_a_key_that_is_not_the_ledgers_is_refused(pk: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        keys.lane_key_of({"pk": {"S": pk}})


@pytest.mark.parametrize("kind", ["parked/k", "cursors", "", "owner"])
def test_other_items_of_the_ledger_are_no_cursors(kind: str) -> None:
    region, item_kind = keys.ledger_region_and_kind({"sk": {"S": f"us-east-1/{kind}"}})
    assert (region, item_kind) == ("us-east-1", kind)
    assert not keys.is_cursor(item_kind)


def test_a_region_without_a_cursor_is_at_the_start() -> None:
    assert LaneState({}).cursor(Region("us-east-1")) == START


ACCOUNT = Account(SequenceNumber(9), SequenceNumber(3), 1_790_000_000_000, 1_790_000_000_500, 2.5, 7.25)


def credited(account: Account | None) -> dict[str, Any]:
    key = keys.lane_key_of({"pk": {"S": "orders/billing/us-east-1/0.1"}})
    cursor = replace(START, credit=account)
    return cursor_item.to_item(key, Region("us-east-1"), cursor, token=b"t", now_ms=0)


@pytest.mark.parametrize("account", [ACCOUNT, None])
def test_an_account_of_credit_comes_back_with_its_cursor(account: Account | None) -> None:
    assert cursor_item.from_item(credited(account)).credit == account


@pytest.mark.parametrize(
    "spoilt",
    [
        b"",
        b"no MessagePack",
        msgpack.encode([1, 2, 3]),
        msgpack.encode([-1, 0, 0, 0, 0.0, 0.0]),
        msgpack.encode([2**63, 0, 0, 0, 0.0, 0.0]),
        msgpack.encode([1, 0, 0, 0, nan, 0.0]),
        msgpack.encode([1, 0, 0, 0, 0.0, -1.0]),
    ],
)
def test_an_account_that_cannot_be_read_stops_no_lane(spoilt: bytes) -> None:
    item = credited(ACCOUNT)
    item["k"] = {"B": spoilt}
    cursor = cursor_item.from_item(item)
    assert cursor.credit is None
    assert cursor == START
