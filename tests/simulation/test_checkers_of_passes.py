"""The checker of what passes of reconciliation look at, on histories made by hand."""

from eventfabric.testing.simulation import history as h
from eventfabric.testing.simulation.verdict import Result
from tests.simulation.checkers.neglected_lane import check
from tests.simulation.hand_made import HOME, SUB, Hand


def waiting() -> Hand:
    """Return a history in which one of two events waits, and a pass is complete."""
    return complete(Hand().appended("e1", 0).read().tried("e1", 0).moved(None, 1).appended("e2", 1), 1)


def complete(hand: Hand, number: int) -> Hand:
    return hand.tell(
        h.Gauged,
        actor=f"reconcile {HOME} {number}#1",
        region=HOME,
        subscription=SUB,
        metric="OldestUndelivered",
        value=1.0,
    )


def looked(hand: Hand, number: int) -> Hand:
    return hand.read(actor=f"reconcile {HOME} {number}#1")


def test_a_lane_that_waits_is_looked_at_by_every_pass() -> None:
    assert check(complete(looked(waiting(), 2), 2).history).result is Result.VALID
    assert check(complete(waiting(), 2).history).result is Result.INVALID
    once = complete(looked(waiting(), 2), 2)
    assert check(complete(once, 3).history).result is Result.INVALID


def test_what_came_since_the_last_pass_may_wait_for_the_next() -> None:
    since = complete(Hand().appended("e1", 0).read().tried("e1", 0).moved(None, 1), 1).appended("e2", 1)
    assert check(complete(since, 2).history).result is Result.VALID


def test_a_lane_that_is_done_may_rest() -> None:
    done = waiting().read().tried("e2", 1).moved(1, 2)
    assert check(complete(done, 2).history).result is Result.VALID


def test_a_pass_beside_another_one_may_have_looked_before_that_was_complete() -> None:
    hand = Hand().appended("e1", 0).read().tried("e1", 0).moved(None, 1).appended("e2", 1)
    beside = complete(looked(hand, 2), 1)
    assert check(complete(beside, 2).history).result is Result.VALID


def test_reads_by_deliveries_do_not_count() -> None:
    assert check(complete(waiting().read(), 2).history).result is Result.INVALID


def test_nothing_can_be_told_of_lanes_that_were_handed_over() -> None:
    handed = waiting().tell(
        h.HandedOver, region=HOME, subscription=SUB, origin=HOME, to=HOME, epoch=1, since_ms=0
    )
    assert check(complete(handed, 2).history).result is Result.UNKNOWN


def test_what_waits_in_a_child_is_looked_at_once_its_parent_is_past_its_seal() -> None:
    child = f"{HOME}/1.0"

    def with_child(*, is_past_seal: bool) -> Hand:
        hand = Hand().moved(None, 1, is_past_seal=is_past_seal).moved(None, 1, lane=child)
        return complete(complete(hand.appended("e2", 1, lane=child), 1), 2)

    assert check(with_child(is_past_seal=True).history).result is Result.INVALID
    assert check(with_child(is_past_seal=False).history).result is Result.VALID
