"""Decisions about noted batches, stored for a whole batch or for a part of one."""

from dataclasses import replace

import pytest

from eventfabric.errors import UndecodableItemError
from eventfabric.model import Decided, Lane
from eventfabric.wire import won_item
from tests.support.stored_items import DECISION, KEY, TOKEN

PART = KEY.lane.children[1]


@pytest.mark.parametrize("part", [None, PART])
def test_a_decision_comes_back_with_the_part_that_it_is_about(part: Lane | None) -> None:
    decision = replace(DECISION, part=part)
    assert won_item.from_item(won_item.to_item(Decided(KEY, decision, 5), token=TOKEN)) == decision


def test_decisions_about_the_parts_of_a_batch_are_items_of_their_own() -> None:
    keys = {
        won_item.to_item(Decided(KEY, replace(DECISION, part=part), 5), token=TOKEN)["sk"]["S"]
        for part in (None, *KEY.lane.children)
    }
    assert len(keys) == 3


@pytest.mark.parametrize("part", ["us-east-1/0.7", "us-east-1", "us-east-1/1.x", "/"])
def test_a_decision_about_what_is_no_part_is_refused(part: str) -> None:
    item = won_item.to_item(Decided(KEY, DECISION, 5), token=TOKEN)
    item["sk"] = {"S": f"{item['sk']['S']}/{part}"}
    with pytest.raises(UndecodableItemError):
        won_item.from_item(item)
