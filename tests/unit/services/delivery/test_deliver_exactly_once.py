"""The decisions of the deliverer about handlers' own transactions: what commits together, and what does not."""

import pytest

from eventfabric.limits import TRANSACTION_WRITES_MAX
from eventfabric.model import Event, Write
from eventfabric.services.delivery.lane_result import LaneOutcome
from tests.support.memory_fabric import HOME, event
from tests.support.recording_handler import EFFECTS, add_one
from tests.support.subscribed_stream import SubscribedStream
from tests.support.writing_handlers import Writing, each_of_its_key, fabric_of, put_of, refused, refused_write


def test_events_of_different_keys_commit_together_with_their_writes() -> None:
    fabric = fabric_of(Writing(), *each_of_its_key("abc"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.effects() == {"a": 1, "b": 1, "c": 1}
    assert fabric.faults.count("ledger.commit") == 1


def test_an_event_of_a_key_is_attempted_only_after_the_one_before_is_committed() -> None:
    """Otherwise its handler would read rows that the earlier event has not written yet."""
    committed_then: list[tuple[str, int]] = []
    handler = Writing(watch=lambda event: committed_then.append((str(event.id), fabric.cursor().sequence)))
    fabric = fabric_of(handler, event("a1", key="a"), event("b1", key="b"), event("a2", key="a"))
    fabric.put(event("a3", key="a"), event("b2", key="b"))
    fabric.deliver()
    assert committed_then == [("a1", 0), ("b1", 0), ("a2", 2), ("a3", 3), ("b2", 3)]
    assert fabric.faults.count("ledger.commit") == 3
    assert fabric.effects() == dict.fromkeys(["a1", "b1", "a2", "a3", "b2"], 1)


def test_events_that_write_one_item_are_committed_one_by_one() -> None:
    shared = {name: (add_one("shared"),) for name in "abc"}
    fabric = fabric_of(Writing(shared), *each_of_its_key("abc"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.effects() == {"shared": 3}
    assert fabric.cursor().sequence == 3


def test_an_event_that_writes_one_item_twice_is_parked_alone() -> None:
    twice = (add_one("shared"), add_one("shared"))
    fabric = fabric_of(Writing({"b": twice}), *each_of_its_key("abc"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert refused(fabric, "b") == "SameItemTwice"
    assert fabric.effects() == {"a": 1, "c": 1}
    assert fabric.cursor().sequence == 3


@pytest.mark.parametrize(
    ("write", "code"),
    [
        (refused_write(), "ConditionalCheckFailed"),
        (Write("Put", {"TableName": "nowhere", "Item": {"id": {"S": "x"}}}), "ResourceNotFoundException"),
        (put_of(""), "ValidationException"),
    ],
    ids=["condition", "no such table", "wrong key"],
)
def test_a_refused_write_parks_its_event_and_no_other(write: Write, code: str) -> None:
    fabric = fabric_of(Writing({"c": (add_one("never"), write)}), *each_of_its_key("abcd"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert refused(fabric, "c") == code
    assert fabric.effects() == {"a": 1, "b": 1, "d": 1}
    assert fabric.cursor().sequence == 4


@pytest.mark.parametrize(
    ("writes", "reason"),
    [
        ([put_of("big", v={"B": bytes(400 * 1024)})], "write 0 was refused: ItemTooLarge"),
        ([put_of(f"big{n}", v={"B": bytes(390 * 1024)}) for n in range(11)], "TooManyBytes"),
    ],
    ids=["one item", "all together"],
)
def test_writes_that_are_too_large_are_their_events_failure_before_they_are_sent(
    writes: list[Write], reason: str
) -> None:
    fabric = fabric_of(Writing({"c": writes}), *each_of_its_key("abcd"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    failure = fabric.parked()["c"].failure
    assert failure.error_type == "eventfabric.errors:TransactionTooLargeError"
    assert reason in failure.message
    assert fabric.effects() == {"a": 1, "b": 1, "d": 1}
    assert fabric.cursor().sequence == 4


def test_a_full_transaction_is_committed_before_the_next_event_is_added() -> None:
    half = TRANSACTION_WRITES_MAX // 2
    writes = {name: [add_one(f"{name}{n}") for n in range(half)] for name in "abc"}
    fabric = fabric_of(Writing(writes), *each_of_its_key("abc"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert len(fabric.effects()) == 3 * half
    assert fabric.faults.count("ledger.commit") == 2


def test_one_event_may_fill_a_transaction_and_no_more() -> None:
    writes = {
        "a": [add_one(f"a{n}") for n in range(TRANSACTION_WRITES_MAX)],
        "b": [add_one(f"b{n}") for n in range(TRANSACTION_WRITES_MAX + 1)],
    }
    fabric = fabric_of(Writing(writes), *each_of_its_key("ab"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert "found 99 actions, allowed: at most 98" in fabric.parked()["b"].failure.message
    assert len(fabric.effects()) == TRANSACTION_WRITES_MAX


def test_events_without_writes_move_the_cursor_in_a_plain_commit() -> None:
    fabric = fabric_of(Writing({"a": (), "b": ()}), *each_of_its_key("ab"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.cursor().sequence == 2


def test_a_failing_handler_keeps_the_writes_of_the_events_beside_it() -> None:
    def fail_at_c(event: Event) -> None:
        if event.id == "c":
            raise KeyError(event.id)

    fabric = fabric_of(Writing(watch=fail_at_c), *each_of_its_key("abcd"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.parked()["c"].failure.error_type == "builtins:KeyError"
    assert fabric.effects() == {"a": 1, "b": 1, "d": 1}


def test_a_filtered_tail_is_stepped_over_in_the_commit_of_the_events_before_it() -> None:
    fabric = SubscribedStream(guarantee="exactly_once", handler=Writing(), types=["placed"])
    for next_event in (event("a"), event("b", type="other"), event("c", type="other")):
        fabric.put(next_event)
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.effects() == {"a": 1}
    assert (fabric.cursor().sequence, fabric.cursor().version) == (3, 1)


def test_writes_meet_what_others_wrote_into_the_same_table() -> None:
    fabric = fabric_of(Writing({"a": (refused_write(),)}), event("a"))
    fabric.deliver()
    assert refused(fabric, "k") == "ConditionalCheckFailed"
    fabric.cloud.regions[HOME].table(EFFECTS).write("Put", put_of("absent").request)
    fabric.deliver_all()
    assert fabric.parked() == {}


def test_a_batch_with_more_writes_than_a_commit_holds_is_gone_through_one_by_one() -> None:
    handler = Writing()
    handler.batch_events_max = 1_000
    fabric = fabric_of(handler, *each_of_its_key([f"e{number}" for number in range(150)]))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.effects() == {f"e{number}": 1 for number in range(150)}


def test_a_batch_of_one_key_that_updates_one_row_is_gone_through_one_by_one() -> None:
    handler = Writing({name: (add_one("row"),) for name in "abc"})
    handler.batch_events_max = 3
    fabric = fabric_of(handler, event("a"), event("b"), event("c"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.effects() == {"row": 3}
