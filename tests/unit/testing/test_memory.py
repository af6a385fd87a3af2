"""The memory cloud beyond its ports: streams, replication, faults, refused expressions."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfabric.errors import OutcomeUnknownError, RefusedError, ThrottledError
from eventfabric.model import EMPTY_TAIL
from eventfabric.testing.memory.clock import MemoryClock
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, at_random, nth
from eventfabric.testing.memory.region import MemoryRegion, TransactionCancelledError
from eventfabric.testing.memory.requests import Requests
from eventfabric.testing.memory.stream import Change
from eventfabric.testing.memory.table import ConditionFailedError, MemoryTable
from tests.support.memory_fabric import AWAY, HOME, LANE, event, lane
from tests.support.subscribed_stream import SubscribedStream

TABLE = "shop-orders"


def table() -> MemoryTable:
    return MemoryTable("rows", clock=MemoryClock(), region=HOME, key_names=("id",))


def put(into: MemoryTable, row: str, value: int) -> None:
    into.write("Put", {"Item": {"id": {"S": row}, "v": {"N": str(value)}}})


def shown(changes: list[Change]) -> list[tuple[str, str | None]]:
    """Event name and new value of each change."""
    return [(c.event()["eventName"], (c.new or {}).get("v", {}).get("N")) for c in changes]


def test_the_stream_shows_what_changed_and_nothing_of_writes_that_changed_nothing() -> None:
    rows = table()
    for value in (1, 1, 2):
        put(rows, "a", value)
    for _ in range(2):
        rows.write("Delete", {"Key": {"id": {"S": "a"}}})
    assert shown(rows.stream.reader().take(10)) == [("INSERT", "1"), ("MODIFY", "2"), ("REMOVE", None)]


# One seed for all answers of the chooser: to draw each of them took 100 ms an example.
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=20), st.integers())
def test_a_reader_sees_every_change_and_each_items_own_in_order_whatever_the_chooser(
    writes: list[tuple[str, int]], seed: int
) -> None:
    random = Random(seed)
    rows = table()
    for row, value in writes:
        put(rows, row, value)
    reader, seen = rows.stream.reader(), []
    while batch := reader.take(3, random.randrange):
        if random.random() < 0.5:
            seen += batch
            reader.confirm(batch)
    assert sorted(change.number for change in seen) == [change.number for change in rows.stream.changes]
    for row in "abc":
        numbers = [change.number for change in seen if change.key == (row,)]
        assert numbers == sorted(numbers)


def test_what_failed_in_a_batch_comes_again_from_there_on() -> None:
    rows = table()
    for row in "abc":
        put(rows, row, 1)
    reader = rows.stream.reader()
    batch = reader.take(3)
    reader.confirm(batch, failed_from=batch[1].position)
    assert [change.key for change in reader.take(3)] == [("b",), ("c",)]


def away_items(fabric: SubscribedStream) -> int:
    return len(fabric.cloud.regions[AWAY].table(TABLE).items)


def test_a_record_passes_to_the_other_region_bit_for_bit_and_not_back() -> None:
    fabric = SubscribedStream()
    record = fabric.put(event("a"))
    assert fabric.cloud.replicate() == 1
    assert fabric.cloud.log("orders", AWAY).read(LANE, record.sequence, records_max=1).records == (record,)
    assert fabric.cloud.replicate() == 0


def test_only_a_regions_own_records_pass() -> None:
    fabric = SubscribedStream()
    foreign = fabric.record(EMPTY_TAIL, event("a"), of=lane(0, AWAY))
    fabric.origin_log.append(foreign)
    assert fabric.cloud.replicate() == 0
    assert away_items(fabric) == 0


def test_a_cursor_passes_and_stays_its_regions_own() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"))
    fabric.deliver()
    fabric.cloud.replicate()
    items = fabric.cloud.regions[AWAY].table("shop-ledger").items
    assert {item["sk"]["S"] for item in items} == {f"{HOME}/cursor", f"{HOME}/owner/{HOME}"}


def test_a_cut_region_gets_what_it_missed_when_it_is_healed() -> None:
    fabric = SubscribedStream()
    fabric.cloud.cut(AWAY)
    fabric.put(event("a"))
    assert fabric.cloud.replicate() == 0
    fabric.cloud.heal(AWAY)
    assert fabric.cloud.replicate() == 1


def test_a_lagging_link_lets_nothing_younger_pass() -> None:
    fabric = SubscribedStream()
    for link in fabric.cloud.links:
        link.lag_ms = 2000
    fabric.put(event("a"))
    fabric.clock.advance(1)
    assert fabric.cloud.replicate() == 0
    fabric.clock.advance(1)
    assert fabric.cloud.replicate() == 1


@pytest.mark.parametrize(
    ("fault", "error", "effects"),
    [
        (Fault.THROTTLED, ThrottledError, 0),
        (Fault.LOST_REQUEST, OutcomeUnknownError, 0),
        (Fault.LOST_REPLY, OutcomeUnknownError, 1),
        (Fault.CRASH_BEFORE, SimulatedCrash, 0),
        (Fault.CRASH_AFTER, SimulatedCrash, 1),
    ],
)
def test_a_fault_fails_the_call_that_it_names_before_or_after_its_effect(
    fault: Fault, error: type[BaseException], effects: int
) -> None:
    faults, done = Faults(nth(2, fault, name="write")), []
    for name in ("write", "read"):
        faults.call(name, lambda: done.append(1))
    done.clear()
    with pytest.raises(error):
        faults.call("write", lambda: done.append(1))
    assert len(done) == effects
    assert (faults.calls, faults.count("write")) == (["write", "read", "write"], 2)
    faults.heal()
    faults.call("write", lambda: done.append(1))


def test_a_lost_reply_hides_a_refusal_too() -> None:
    def refuse() -> None:
        raise RefusedError("write", "no")

    with pytest.raises(OutcomeUnknownError):
        Faults(nth(1, Fault.LOST_REPLY)).call("write", refuse)


def test_one_seed_gives_the_same_faults_and_the_same_bytes() -> None:
    def run() -> list[Fault | None]:
        rule = at_random(0.5, tuple(Fault), seed=7)
        return [rule("call", number, number) for number in range(50)]

    assert run() == run()
    assert SeededEntropy(7).bytes(16) == SeededEntropy(7).bytes(16)
    assert SeededEntropy(7).bytes(16) != SeededEntropy(8).bytes(16)


def test_requests_are_sent_again_before_anybody_hears_of_it_and_not_for_ever() -> None:
    faults = Faults(nth(1, Fault.LOST_REPLY), nth(2, Fault.THROTTLED))
    assert Requests(faults).send("put", lambda: "done") == "done"
    silent = Faults(lambda name, overall, of_name: Fault.LOST_REPLY)
    with pytest.raises(OutcomeUnknownError):
        Requests(silent).send("put", lambda: "done")
    assert len(silent.calls) == 3


def holds(condition: str, names: dict[str, str] | None = None, **values: Any) -> bool:
    rows = table()
    rows.write("Put", {"Item": {"id": {"S": "a"}, "n": {"N": "5"}, "s": {"S": "x"}}})
    request: dict[str, Any] = {"Key": {"id": {"S": "a"}}, "ConditionExpression": condition}
    if names:
        request["ExpressionAttributeNames"] = names
    if values:
        request["ExpressionAttributeValues"] = {f":{name}": value for name, value in values.items()}
    try:
        rows.write("ConditionCheck", request)
    except ConditionFailedError:
        return False
    return True


def test_conditions_mean_what_they_mean_in_dynamodb() -> None:
    five, ten = {"N": "5.0"}, {"N": "10"}
    assert holds("n = :v", v=five)
    assert holds("n < :v AND NOT n >= :v", v=ten)
    assert not holds("n < :v", v={"S": "9"})
    assert not holds("absent = :v", v=five)
    assert holds("absent <> :v", v=five)
    assert holds("attribute_exists(#n) and attribute_not_exists(absent)", {"#n": "n"})
    assert holds("(n = :ten OR s = :x) AND n = :five", ten=ten, five=five, x={"S": "x"})
    assert not holds("n = :ten OR s = :x AND n = :ten", ten=ten, x={"S": "x"})


@pytest.mark.parametrize(
    "condition", ["begins_with(s, :v)", "a.b = :v", "n BETWEEN :v AND :v", "n IN (:v)", "size(n) = :v"]
)
def test_expressions_beyond_the_subset_are_refused_by_name(condition: str) -> None:
    with pytest.raises(NotImplementedError, match="memory: "):
        holds(condition, v={"N": "5"})


@pytest.mark.parametrize(
    ("condition", "values"), [("n = :w", {"v": {"N": "5"}}), ("n = :v AND s = :w", {"v": {"N": "5"}})]
)
def test_values_that_are_not_defined_or_not_used_are_refused_as_dynamodb_does(
    condition: str, values: dict[str, Any]
) -> None:
    with pytest.raises(RefusedError, match="ValidationException"):
        holds(condition, **values)


def update(rows: MemoryTable, expression: str, **values: Any) -> dict[str, Any]:
    values = {f":{name}": value for name, value in values.items()}
    key = {"id": {"S": "a"}}
    request = {"Key": key, "UpdateExpression": expression, "ExpressionAttributeValues": values}
    rows.write("Update", request if values else {"Key": key, "UpdateExpression": expression})
    return {name: value for name, value in (rows.get(key, consistent=True) or {}).items() if name != "id"}


def test_updates_set_add_and_remove() -> None:
    rows = table()
    assert update(rows, "SET n = if_not_exists(n, :zero) + :two", zero={"N": "0"}, two={"N": "2"}) == {
        "n": {"N": "2"}
    }
    assert update(rows, "SET n = n - :half", half={"N": "0.5"}) == {"n": {"N": "1.5"}}
    assert update(rows, "ADD n :one, tags :t", one={"N": "1"}, t={"SS": ["b"]})["n"] == {"N": "2.5"}
    assert update(rows, "ADD tags :t REMOVE n", t={"SS": ["a"]}) == {"tags": {"SS": ["a", "b"]}}


@pytest.mark.parametrize("expression", ["SET n = absent + :one", "SET n = s + :one", "ADD s :one"])
def test_an_update_that_does_not_fit_the_item_is_a_reason_of_its_own(expression: str) -> None:
    region = MemoryRegion(HOME, clock=MemoryClock())
    rows = region.create_table("rows", key_names=("id",))
    rows.write("Put", {"Item": {"id": {"S": "a"}, "s": {"S": "x"}}})
    request = {"TableName": "rows", "Key": {"id": {"S": "a"}}, "UpdateExpression": expression}
    with pytest.raises(TransactionCancelledError) as raised:
        region.transact(
            [("Update", {**request, "ExpressionAttributeValues": {":one": {"N": "1"}}})], token="t"
        )
    assert [reason.code for reason in raised.value.reasons] == ["ValidationError"]


def test_a_transaction_with_the_token_of_one_that_is_done_is_done_and_changes_nothing() -> None:
    region = MemoryRegion(HOME, clock=MemoryClock())
    rows = region.create_table("rows", key_names=("id",))
    add = {"TableName": "rows", "Key": {"id": {"S": "a"}}, "UpdateExpression": "ADD n :one"}
    for _ in range(2):
        region.transact([("Update", {**add, "ExpressionAttributeValues": {":one": {"N": "1"}}})], token="t")
    assert rows.items == [{"id": {"S": "a"}, "n": {"N": "1"}}]


def test_moved_dead_letters_come_under_new_ids() -> None:
    fabric = SubscribedStream()
    for tail in (1, 2):
        fabric.queue.send(str(tail), group="lane", deduplication_id=str(tail))
    dead = fabric.cloud.regions[HOME].queues["shop-billing-dead.fifo"]
    assert fabric.queue.redrive(dead) == 2
    assert (len(fabric.queue), dead.bodies) == (0, ["1", "2"])
