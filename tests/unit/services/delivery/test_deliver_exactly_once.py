"""The decisions of the deliverer about handlers' own transactions: what commits together, and what does not."""

import pytest

from eventfabric.limits import TRANSACTION_WRITES_MAX
from eventfabric.model.commit import Write
from eventfabric.model.event import Event
from eventfabric.services.delivery.lane_result import LaneOutcome
from tests.support.memory_fabric import HOME, event
from tests.support.recording_handler import EFFECTS, add_one
from tests.support.subscribed_stream import SubscribedStream
from tests.support.writing_handlers import Writing, each_of_its_key, put_of, refused, refused_write, world_of


def test_events_of_different_keys_commit_together_with_their_writes() -> None:
    world = world_of(Writing(), *each_of_its_key("abc"))
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert world.effects() == {"a": 1, "b": 1, "c": 1}
    assert world.faults.count("ledger.commit") == 1


def test_an_event_of_a_key_is_attempted_only_after_the_one_before_is_committed() -> None:
    """Otherwise its handler would read rows that the earlier event has not written yet."""
    committed_then: list[tuple[str, int]] = []
    handler = Writing(watch=lambda event: committed_then.append((str(event.id), world.cursor().sequence)))
    world = world_of(handler, event("a1", key="a"), event("b1", key="b"), event("a2", key="a"))
    world.put(event("a3", key="a"), event("b2", key="b"))
    world.deliver()
    assert committed_then == [("a1", 0), ("b1", 0), ("a2", 2), ("a3", 3), ("b2", 3)]
    assert world.faults.count("ledger.commit") == 3
    assert world.effects() == dict.fromkeys(["a1", "b1", "a2", "a3", "b2"], 1)


def test_events_that_write_one_item_are_committed_one_by_one() -> None:
    shared = {name: (add_one("shared"),) for name in "abc"}
    world = world_of(Writing(shared), *each_of_its_key("abc"))
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert world.effects() == {"shared": 3}
    assert world.cursor().sequence == 3


def test_an_event_that_writes_one_item_twice_is_parked_alone() -> None:
    twice = (add_one("shared"), add_one("shared"))
    world = world_of(Writing({"b": twice}), *each_of_its_key("abc"))
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert refused(world, "b") == "SameItemTwice"
    assert world.effects() == {"a": 1, "c": 1}
    assert world.cursor().sequence == 3


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
    world = world_of(Writing({"c": (add_one("never"), write)}), *each_of_its_key("abcd"))
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert refused(world, "c") == code
    assert world.effects() == {"a": 1, "b": 1, "d": 1}
    assert world.cursor().sequence == 4


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
    world = world_of(Writing({"c": writes}), *each_of_its_key("abcd"))
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    failure = world.parked()["c"].failure
    assert failure.error_type == "eventfabric.errors:TransactionTooLargeError"
    assert reason in failure.message
    assert world.effects() == {"a": 1, "b": 1, "d": 1}
    assert world.cursor().sequence == 4


def test_a_full_transaction_is_committed_before_the_next_event_is_added() -> None:
    half = TRANSACTION_WRITES_MAX // 2
    writes = {name: [add_one(f"{name}{n}") for n in range(half)] for name in "abc"}
    world = world_of(Writing(writes), *each_of_its_key("abc"))
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert len(world.effects()) == 3 * half
    assert world.faults.count("ledger.commit") == 2


def test_one_event_may_fill_a_transaction_and_no_more() -> None:
    writes = {
        "a": [add_one(f"a{n}") for n in range(TRANSACTION_WRITES_MAX)],
        "b": [add_one(f"b{n}") for n in range(TRANSACTION_WRITES_MAX + 1)],
    }
    world = world_of(Writing(writes), *each_of_its_key("ab"))
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert "found 99 actions, allowed: at most 98" in world.parked()["b"].failure.message
    assert len(world.effects()) == TRANSACTION_WRITES_MAX


def test_events_without_writes_move_the_cursor_in_a_plain_commit() -> None:
    world = world_of(Writing({"a": (), "b": ()}), *each_of_its_key("ab"))
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert world.cursor().sequence == 2


def test_a_failing_handler_keeps_the_writes_of_the_events_beside_it() -> None:
    def fail_at_c(event: Event) -> None:
        if event.id == "c":
            raise KeyError(event.id)

    world = world_of(Writing(watch=fail_at_c), *each_of_its_key("abcd"))
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert world.parked()["c"].failure.error_type == "builtins:KeyError"
    assert world.effects() == {"a": 1, "b": 1, "d": 1}


def test_a_filtered_tail_is_stepped_over_in_the_commit_of_the_events_before_it() -> None:
    world = SubscribedStream(guarantee="exactly_once", handler=Writing(), types=["placed"])
    for one in (event("a"), event("b", type="other"), event("c", type="other")):
        world.put(one)
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert world.effects() == {"a": 1}
    assert (world.cursor().sequence, world.cursor().version) == (3, 1)


def test_writes_meet_what_others_wrote_into_the_same_table() -> None:
    world = world_of(Writing({"a": (refused_write(),)}), event("a"))
    world.deliver()
    assert refused(world, "k") == "ConditionalCheckFailed"
    world.cloud.regions[HOME].table(EFFECTS).write("Put", put_of("absent").request)
    world.deliver_all()
    assert world.parked() == {}


def test_a_batch_with_more_writes_than_a_commit_holds_is_gone_through_one_by_one() -> None:
    handler = Writing()
    handler.batch_events_max = 1_000
    world = world_of(handler, *each_of_its_key([f"e{number}" for number in range(150)]))
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert world.effects() == {f"e{number}": 1 for number in range(150)}


def test_a_batch_of_one_key_that_updates_one_row_is_gone_through_one_by_one() -> None:
    handler = Writing({name: (add_one("row"),) for name in "abc"})
    handler.batch_events_max = 3
    world = world_of(handler, event("a"), event("b"), event("c"))
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert world.effects() == {"row": 3}
