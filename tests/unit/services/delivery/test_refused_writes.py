"""Refused writes: whose failure each is, and the error that reports it."""

import pytest

from eventfabric.model import Write
from eventfabric.services.delivery.lane_result import LaneOutcome
from tests.support.recording_handler import EFFECTS, add_one
from tests.support.writing_handlers import Writing, each_of_its_key, fabric_of, refused_write


def refused_call() -> Write:
    """A write with a value that its condition does not name."""
    unused = {"ExpressionAttributeValues": {":unused": {"S": "x"}}}
    put = {"TableName": EFFECTS, "Item": {"id": {"S": "x"}}, "ConditionExpression": "attribute_exists(id)"}
    return Write("Put", {**put, **unused})


@pytest.mark.parametrize("refused", ["a", "b"])
def test_of_two_events_that_commit_together_only_the_one_with_the_refused_write_is_parked(
    refused: str,
) -> None:
    fabric = fabric_of(Writing({refused: (add_one("never"), refused_write())}), *each_of_its_key("ab"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert set(fabric.parked()) == {refused}
    assert fabric.effects() == {{"a": "b", "b": "a"}[refused]: 1}
    assert fabric.cursor().sequence == 2


def test_a_write_that_dynamodb_does_not_take_at_all_is_named_by_its_code_with_the_whole_message() -> None:
    fabric = fabric_of(Writing({"a": (refused_call(),)}), *each_of_its_key("a"))
    fabric.deliver()
    code, _, output = fabric.parked()["a"].failure.message.partition(": ")
    assert code == "ValidationException"
    assert output.startswith("ValidationException: ")
    assert output.count(": ") > 1


def test_two_writes_of_one_item_are_named_as_what_they_are() -> None:
    fabric = fabric_of(Writing({"a": (add_one("row"), add_one("row"))}), *each_of_its_key("a"))
    fabric.deliver()
    failure = fabric.parked()["a"].failure
    assert failure.message == "SameItemTwice: two writes of one event touch one item"
    assert (failure.attempts, failure.event_id) == (1, "a")
