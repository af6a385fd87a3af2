"""Tests of what the memory tables do as the service does: refusals, bounds at the whole, expiry, stale reads."""

import pytest

from eventfabric import limits
from eventfabric.errors import RefusedError, ThrottledError
from eventfabric.testing.memory.clock import MemoryClock
from eventfabric.testing.memory.refusals import CONFLICT, THROTTLE
from eventfabric.testing.memory.region import MemoryRegion, TransactionCancelledError
from eventfabric.testing.memory.table import MemoryTable
from eventfabric.wire.keys import Item
from tests.support.memory_fabric import AWAY, HOME, event
from tests.support.subscribed_stream import SubscribedStream

TABLE = "shop-orders"


def region() -> MemoryRegion:
    memory_region = MemoryRegion(HOME, clock=MemoryClock())
    memory_region.create_table("rows", key_names=("id",))
    return memory_region


def row(name: str, value: bytes = b"") -> Item:
    return {"id": {"S": name}, "v": {"B": value}}


def test_a_call_that_the_table_refuses_has_no_effect_and_names_the_code() -> None:
    rows = region().table("rows")
    rows.refuser = lambda action, key: THROTTLE if key == ("hot",) else None
    with pytest.raises(ThrottledError, match=THROTTLE):
        rows.write("Put", {"Item": row("hot")})
    rows.write("Put", {"Item": row("cold")})
    assert rows.items == [row("cold")]
    with pytest.raises(ThrottledError, match="GetItem"):
        rows.get({"id": {"S": "hot"}}, consistent=True)
    with pytest.raises(ThrottledError, match="Query"):
        rows.query({"S": "hot"}, consistent=True)


@pytest.mark.parametrize(
    ("code", "reason"), [(CONFLICT, "TransactionConflict"), (THROTTLE, "ThrottlingError")]
)
def test_a_transaction_is_cancelled_whole_where_one_of_its_items_is_refused(code: str, reason: str) -> None:
    place = region()
    place.table("rows").refuser = lambda action, key: code if key == ("b",) else None
    puts = [("Put", {"TableName": "rows", "Item": row(name)}) for name in "ab"]
    with pytest.raises(TransactionCancelledError) as refused:
        place.transact(puts, token="t")
    assert [reason.code for reason in refused.value.reasons] == ["None", reason]
    assert place.table("rows").items == []
    place.table("rows").refuser = lambda action, key: None
    place.transact(puts, token="t")
    assert len(place.table("rows").items) == 2


def test_a_transaction_of_more_than_4_mb_is_refused_though_each_item_fits() -> None:
    place = region()
    large = [("Put", {"TableName": "rows", "Item": row(f"{number}", bytes(390_000))}) for number in range(11)]
    assert limits.TRANSACTION_BYTES_MAX < 11 * 390_000
    with pytest.raises(RefusedError, match="4 MB"):
        place.transact(large, token="t")
    place.transact(large[:10], token="another")
    assert len(place.table("rows").items) == 10


def test_expiry_removes_what_is_past_its_time_and_replicates_from_where_it_happens() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"))
    home, away = (fabric.cloud.regions[name].table(TABLE) for name in (HOME, AWAY))
    item = home.items[0]
    home.write("Put", {"Item": {**item, "x": {"N": "1000"}}})
    fabric.cloud.replicate()
    fabric.cloud.cut(HOME)
    home.write("Put", {"Item": {**item, "x": {"N": "2000"}}})
    assert away.expire("x", 1000) == 0
    assert away.expire("x", 1001) == 1
    assert away.expire("x", 1001) == 0
    assert home.items != []
    fabric.cloud.heal(HOME)
    fabric.cloud.links.reverse()
    fabric.cloud.replicate()
    assert home.items == []  # by the other Region's clock and the other Region's copy


def test_a_read_without_consistency_sees_nothing_of_the_last_moment() -> None:
    clock = MemoryClock()
    rows = MemoryTable("rows", clock=clock, region=HOME)
    rows.stale_ms = 1000

    def put(sort: int, value: str) -> None:
        rows.write("Put", {"Item": {"pk": {"S": "p"}, "sk": {"N": str(sort)}, "v": {"S": value}}})

    def seen(*, consistent: bool) -> list[str]:
        return [item["v"]["S"] for item in rows.query({"S": "p"}, consistent=consistent)[0]]

    put(1, "old")
    clock.advance(2)
    put(1, "new")
    put(2, "more")
    rows.write("Delete", {"Key": {"pk": {"S": "p"}, "sk": {"N": "1"}}})
    assert seen(consistent=True) == ["more"]
    assert seen(consistent=False) == ["old"]
    key = {"pk": {"S": "p"}, "sk": {"N": "2"}}
    assert rows.get(key, consistent=False) is None
    assert rows.get(key, consistent=True) is not None
    clock.advance(1)
    assert seen(consistent=False) == ["more"]


def test_a_token_is_one_transaction_and_no_other() -> None:
    place = region()
    puts = [("Put", {"TableName": "rows", "Item": row(name)}) for name in "ab"]
    place.transact(puts[:1], token="t")
    place.transact(puts[:1], token="t")
    with pytest.raises(RefusedError, match="IdempotentParameterMismatch"):
        place.transact(puts, token="t")
    assert place.table("rows").items == [row("a")]
