"""Checkers of what operators do to a lane of which something is lost, on histories made by hand."""

import pytest

from eventfabric.testing.simulation import history as h
from eventfabric.testing.simulation.verdict import Result
from tests.simulation.checkers.every import CHECKERS
from tests.simulation.hand_made import AWAY, HOME, LANE, Hand

VALID, INVALID = Result.VALID, Result.INVALID


def result(checker: str, of: Hand) -> Result:
    return CHECKERS[checker](of.ended()).result


def lost() -> Hand:
    """Two events in both Regions, of which the first was deleted in its origin."""
    hand = Hand()
    for region in (HOME, AWAY):
        hand = hand.appended("e1", 0, region=region).appended("e2", 1, region=region)
    hand = hand.tell(h.Tampered, what="record lost", region=HOME, lane=LANE, sequence=0)
    return hand.tell(h.Removed, region=HOME, lane=LANE, sequence=0, count=1)


def skipped(hand: Hand, *, count: int = 1) -> Hand:
    """The lane goes on past its first events."""
    return hand.tell(
        h.Appended,
        region=HOME,
        lane=LANE,
        sequence=0,
        ids=(),
        keys=(),
        types=(),
        chain="s",
        batch="s",
        skipped=count,
    )


def gone_everywhere() -> Hand:
    return lost().tell(h.Removed, region=AWAY, lane=LANE, sequence=0, count=1)


def test_wrong_skip() -> None:
    assert result("wrong_skip", lost()) is VALID
    assert result("wrong_skip", skipped(gone_everywhere())) is VALID
    assert result("wrong_skip", skipped(lost())) is INVALID
    assert result("wrong_skip", skipped(gone_everywhere(), count=2)) is INVALID


def test_what_is_lost_is_passed_by_a_skip_alone() -> None:
    assert result("skipped_sequence", lost().tried("e2", 1).moved(None, 2)) is INVALID
    assert result("skipped_sequence", skipped(gone_everywhere()).tried("e2", 1).moved(None, 2)) is VALID


@pytest.mark.parametrize("checker", ["lost_event", "stuck_lane"])
def test_what_was_put_back_and_what_stands_behind_a_skip_are_to_be_handed_out(checker: str) -> None:
    back = lost().appended("e1", 0)
    assert result(checker, back.moved(None, 0)) is INVALID
    assert result(checker, lost().appended("e1", 0).tried("e1", 0).tried("e2", 1).moved(None, 2)) is VALID
    assert result(checker, skipped(gone_everywhere()).moved(None, 1)) is INVALID
    assert result(checker, skipped(gone_everywhere()).tried("e2", 1).moved(None, 2)) is VALID


def test_another_record_than_was_lost_is_a_divergence_and_a_skip_is_none() -> None:
    assert result("replica_divergence", lost().appended("e1", 0, chain="other")) is INVALID
    checked = CHECKERS["replica_divergence"](skipped(gone_everywhere()).ended(quiet=False))
    assert checked.result is Result.UNKNOWN


def test_a_lane_in_which_a_publisher_filled_the_hole_with_something_else_is_a_changed_one() -> None:
    filled = lost().appended("e9", 0, batch="another").acknowledged("e9", 0)
    assert result("lost_event", filled) is VALID
    unlost = Hand().appended("e1", 0).appended("e9", 0, batch="another").acknowledged("e9", 0)
    assert result("lost_event", unlost) is INVALID
